"""The default sampler as a person runs it: what is spent, forecast, and known from earlier studies."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Command, trials_of


@pytest.fixture(scope="module")
def by_cost(command: Command, tiny: list[str], workplace: Path) -> Path:
    """A finished study of the default sampler."""
    rest = [one for one in tiny if not one.startswith("sampler")]
    done = command("search", *rest, "sampler=cost_aware", "study.name=by-cost", "study.trials=12")
    assert done.returncode == 0, done.stderr + done.stdout
    return workplace / "outputs" / "by-cost"


def test_the_cost_aware_sampler_finds_the_same_whatever_is_stored(
    by_cost: Path, command: Command, tiny: list[str]
) -> None:
    rest = [one for one in tiny if not one.startswith("sampler")]
    done = command("search", *rest, "sampler=cost_aware", "study.name=by-cost-2", "study.trials=12")
    assert done.returncode == 0, done.stderr
    first, again = trials_of(by_cost), trials_of(by_cost.parent / "by-cost-2")
    assert [(t.spec, t.value) for t in again] == [(t.spec, t.value) for t in first]
    assert sum(t.computed.get("inputs encoded", 0) for t in again) == 0
    assert [t.made for t in again] == [t.made for t in first]
    assert {t.origin for t in first} >= {"baseline", "sweep", "sampler"}
    assert all("rest" in t.stages for t in first)


def test_a_search_stops_by_itself_when_nothing_is_promised(by_cost: Path, command: Command, tiny: list[str]) -> None:
    rest = [one for one in tiny if not one.startswith("sampler")]
    done = command("search", *rest, "sampler=cost_aware", "study.name=enough", "study.trials=150", "study.stop=auto")
    assert done.returncode == 0, done.stderr
    assert 3 < len(trials_of(by_cost.parent / "enough")) < 150, "six questions tell little apart"
    assert "study.stop=auto: the expected improvement of the best new pipeline is less" in done.stdout.replace(
        "\n", " "
    )
    short = command("search", *rest, "study.name=short", "study.minutes=0.00001", "study.stop=auto", "sampler=random")
    said = " ".join(short.stdout.split())
    assert short.returncode == 0 and len(trials_of(by_cost.parent / "short")) == 1, short.stderr
    assert "(study.minutes) are spent after 1 of 40 pipelines" in said and "nothing else could be compared" in said
    assert "study.stop=auto: only cost_aware" in said
    assert "winner" in done.stdout


def test_an_estimate_says_what_a_search_would_cost_and_leaves_nothing(
    by_cost: Path, command: Command, tiny: list[str]
) -> None:
    before = set(by_cost.parent.iterdir())
    done = command("estimate", *tiny, "study.name=guessed", "study.trials=6")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split(maxsplit=1) for line in done.stdout.splitlines())
    assert lines["space"].endswith("6 would be tried") and lines["indexes"].startswith(("about", "0", "1"))
    assert lines["time"].startswith("about") and lines["money"].startswith("0") and "no language model" in done.stdout
    assert "held-out questions in" in lines["can"] and "split units can show" in lines["can"]
    assert set(by_cost.parent.iterdir()) == before, "no study, no store of its own"
    wrong = command("estimate", *tiny, "study.trials=0")
    assert wrong.returncode == 2 and "study.trials" in wrong.stderr


def test_several_objectives_show_their_front(by_cost: Path, command: Command, tiny: list[str]) -> None:
    done = command("search", *tiny, "study.name=two", "study.trials=8", "+objective.against.context_tokens={}")
    assert done.returncode == 0, done.stderr
    result = orjson.loads((by_cost.parent / "two" / "result.json").read_bytes())
    trials = {t.number: t for t in trials_of(by_cost.parent / "two")}
    assert result["winner"] in result["front"] and "front" in done.stdout
    for number in result["front"]:
        ours = trials[number].values
        assert ours is not None and not any(
            t.values and t.values[0] >= ours[0] and t.values[1] < ours[1] for t in trials.values()
        )


def test_earlier_studies_are_offered_and_learned_from(by_cost: Path, command: Command, tiny: list[str]) -> None:
    plain = [one for one in tiny if not one.startswith("sampler")]
    known = command("search", *plain, "study.name=learned", "study.trials=5", "study.learn_from=by-cost")
    assert known.returncode == 0, known.stderr
    assert "learning from earlier studies: by-cost (" in known.stdout
    tried = trials_of(by_cost.parent / "learned")
    winner = orjson.loads((by_cost / "result.json").read_bytes())["spec"]
    proposed = [trial.spec for trial in tried if trial.origin == "portfolio"]
    assert proposed and (winner in proposed or winner == tried[0].spec), "the winner of then is tried first"
    other = command(
        "search", *plain, "study.name=other", "study.trials=3", "study.learn_from=same", "objective=evidence_recall"
    )
    assert "learning from earlier studies: none was found" in other.stdout, other.stderr
    offered = command("check", *plain, "study.name=unlearned")
    assert "study.learn_from=same:" in " ".join(offered.stdout.split()), offered.stdout + offered.stderr
