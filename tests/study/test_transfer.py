"""Earlier studies: which are learned from, what they propose, and that none of them can stop a search."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson
import pytest

from rag_opt.core.errors import BadInput
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.folder import StudyFolder
from rag_opt.study.samplers.cost_aware import CostAwareSampler
from rag_opt.study.space.space import Space
from rag_opt.study.transfer import EarlierStudy, Expectations, build_portfolio, count_comparable, find_earlier_studies
from rag_opt.study.trials import Trial, TrialLog

DIGESTS = {"corpus": "a", "set of questions": "b", "split": "c", "objective": "d", "space": "e"}
REST: SpecDict = {
    "query": {"none": {}},
    "expander": {"none": {}},
    "embedder": {"model": {"name": "minilm"}},
    "chunker": {"fixed": {}},
    "retriever": {"dense": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}
SPACE = Space.from_dict(
    {"retriever": {"dense": {"top_k": "1..12"}}, "chunker": {"fixed": {"size": [96, 160, 224]}}}, rest=REST, only={}
)


def spec(top_k: int, size: int = 160) -> SpecDict:
    named = {**REST, "retriever": {"dense": {"top_k": top_k}}, "chunker": {"fixed": {"size": size}}}
    return PipelineSpec.from_dict(named).to_dict()


def study(root: Path, name: str, *found: tuple[int, float], finalists: tuple[int, ...] = (), **digests: str) -> None:
    """`found`: top_k and value of each trial."""
    folder = StudyFolder(root / name)
    folder.path.mkdir()
    folder.bind({**DIGESTS, **digests}, {})
    log = TrialLog(folder.database, name, SPACE, directions=["maximize"])
    for number, (top_k, value) in enumerate(found):
        log.commit(Trial(number, "COMPLETE", spec(top_k), "sampler", value=value), None)
    if finalists:
        result = {"winner": finalists[0], "pooled_means": {str(number): 0.0 for number in finalists}}
        (folder.path / "result.json").write_bytes(orjson.dumps(result))


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    study(tmp_path, "mine", (1, 9.0))
    study(tmp_path, "same", (1, 0.2), (5, 0.7), (9, 0.4), finalists=(2, 0), space="wider")
    study(tmp_path, "other-data", (3, 0.5), corpus="another")
    study(tmp_path, "other-objective", (3, 0.5), objective="another")
    return StudyFolder(tmp_path / "mine")


@pytest.mark.parametrize(
    ("learn_from", "names"),
    [
        ("same", {"same"}),
        ("all", {"same", "other-data"}),
        ("other-data", {"other-data"}),
        ("other-objective", {"other-objective"}),
    ],
)
def test_studies_are_found_by_what_they_share(folder: StudyFolder, learn_from: str, names: set[str]) -> None:
    found, notes = find_earlier_studies(folder, DIGESTS, learn_from=learn_from)
    assert {one.name for one in found} == names and not notes
    assert count_comparable(folder, DIGESTS) == (1, 1)


def test_a_study_is_read_best_first_with_its_finalists(folder: StudyFolder) -> None:
    (found,), _ = find_earlier_studies(folder, DIGESTS, learn_from="same")
    assert found.scores.tolist() == [0.7, 0.4, 0.2] and found.same_data
    assert [found.specs[position] for position in found.finalists] == [spec(9), spec(1)], "the winner first"


def test_an_unknown_name_is_refused_with_the_nearest(folder: StudyFolder) -> None:
    with pytest.raises(BadInput, match="did you mean 'other-data'"):
        find_earlier_studies(folder, DIGESTS, learn_from="other-dada")


def test_a_study_that_cannot_be_read_is_named_and_stops_nothing(folder: StudyFolder) -> None:
    root = folder.path.parent
    for name in ("torn", "damaged"):
        study(root, name, (2, 0.9))
    (root / "torn" / "study.json").write_text('{"digests": ')
    (root / "damaged" / "study.db").write_bytes(b"no database at all" * 100)
    found, notes = find_earlier_studies(folder, DIGESTS, learn_from="same")
    assert [one.name for one in found] == ["same"]
    assert len(notes) == 2 and "'torn' could not be read" in " ".join(notes)
    assert count_comparable(folder, DIGESTS) == (2, 1)


def earlier(name: str, best_top_k: int) -> EarlierStudy:
    """A study in which a pipeline is the better, the nearer its top_k is to `best_top_k`."""
    specs = [spec(top_k, size) for top_k in range(1, 13) for size in (96, 160, 224)]
    scores = np.array([-abs(one["retriever"]["dense"]["top_k"] - best_top_k) for one in specs], float)
    order = np.argsort(-scores, kind="stable")
    return EarlierStudy(name, True, tuple(specs[i] for i in order), scores[order], ())


def top_k(one: SpecDict) -> int:
    return int(one["retriever"]["dense"]["top_k"])


def test_a_portfolio_serves_every_study() -> None:
    chosen = build_portfolio([earlier("few", 2), earlier("many", 11)], SPACE, count=2)
    fewest, most = sorted(map(top_k, chosen))
    assert fewest == 2 and most >= 10, "one for each, not two for one"
    narrow = Space.from_dict({"retriever": {"dense": {"top_k": "1..4"}}}, rest=spec(1, 96), only={})
    assert all(top_k(one) <= 4 for one in build_portfolio([earlier("many", 11)], narrow)), "of this space alone"
    assert build_portfolio([], SPACE) == []


def test_a_study_without_differences_expects_nothing() -> None:
    flat = EarlierStudy("flat", True, (spec(1), spec(2)), np.array([0.5, 0.5]), ())
    assert Expectations([flat], SPACE).mean([spec(3)]).tolist() == [0.0]
    assert build_portfolio([flat], SPACE) == [spec(1), spec(2)]


def test_expectations_are_weighed_by_how_well_they_hold() -> None:
    expectations = Expectations([earlier("many", 11)], SPACE)
    tried = [spec(k) for k in (1, 4, 8, 12)]

    def weight(scores: list[float]) -> float:
        forecast = CostForecast(expected=expectations.mean)
        sampler = CostAwareSampler(SPACE, forecast, seed=0, tried_digests=set())
        return sampler._weigh_expectations(tried, np.array(scores))[1]

    assert weight([0.1, 0.4, 0.8, 1.1]) > 0.1
    assert weight([1.1, 0.8, 0.4, 0.1]) == 0, "what holds here is the opposite of what is known: not listened to"
