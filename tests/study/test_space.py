from __future__ import annotations

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from rag_opt.cli.composing import conf_folder
from rag_opt.core.errors import BadInput
from rag_opt.core.registry import kinds
from rag_opt.pipeline.spec import PipelineSpec, spec_digest
from rag_opt.study.cost.model import CostForecast
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.samplers.grid import Grid
from rag_opt.study.samplers.proposals import draw_new, to_distribution
from rag_opt.study.samplers.tpe import Tpe
from rag_opt.study.samplers.uniform import Random
from rag_opt.study.space.domains import Choice, Range, read_domain
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, from_frozen_trial, to_frozen_trial

PIPELINE = yaml.safe_load((conf_folder() / "pipeline" / "default.yaml").read_text())
SMALL = yaml.safe_load((conf_folder() / "space" / "small.yaml").read_text())


def space(data: dict[str, object], **only: str | list[str]) -> Space:
    return Space.from_dict(data, rest=PIPELINE, only=only)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (5, Choice((5,))),
        ("mean", Choice(("mean",))),
        ([1, 2], Choice((1, 2))),
        ("1..12", Range(1, 12)),
        ("96..224:64", Range(96, 224, 64)),
        ("0.0..1.0:0.1", Range(0.0, 1.0, 0.1)),
        ("0..1.0", Range(0.0, 1.0)),
        ("1e-5..1e-2:log", Range(1e-5, 1e-2, None, True)),
        ("1..1000:log", Range(1, 1000, None, True)),
        ("-1..1", Range(-1, 1)),
    ],
)
def test_a_written_domain_is_read(written: object, expected: object) -> None:
    assert read_domain(written, where="x") == expected


@pytest.mark.parametrize(
    "wrong", ["5..1", "1..5:0", "1..5:-1", "1..5:0.5", "0..5:log", "1...5", "a..b", "1..5:lag", [], [1, 1], [[1]]]
)
def test_a_domain_that_makes_no_sense_is_refused(wrong: object) -> None:
    with pytest.raises(BadInput, match=r"^space\.x: is "):
        read_domain(wrong, where="space.x")


def test_the_small_space_is_the_one_of_the_design() -> None:
    small = space(SMALL)
    assert small.size == 9 * 2 * (12 + 144 + 48 + 264) * 4 * 15
    assert "packer" in small.tree, "slots that a space leaves out come from the pipeline"
    assert space(SMALL).parameters(PipelineSpec.from_dict(PIPELINE).to_dict()) is not None, "the baseline is in it"


def test_every_problem_of_a_space_is_listed() -> None:
    wrong = {
        "chunkr": {},
        "chunker": {"fixed": {"size": [64, 1], "overlap": "0.0..2.0"}, "sentnce": {}},
        "retriever": {"dense": {"top-k": 3}},
        "forbid": [{"rerankr": "mmr"}, {"reranker": "mrm"}],
    }
    with pytest.raises(BadInput) as error:
        space(wrong, generator="extractiv")
    for expected in (
        "space.chunkr: there is no slot 'chunkr'; did you mean 'chunker'?",
        "space.chunker.fixed.size: is 1;",
        "space.chunker.fixed.overlap: is 2.0;",
        "space.chunker.sentnce: no chunker is called 'sentnce'; did you mean 'sentence'?",
        "space.retriever.dense.top-k: dense has no parameter 'top-k'; did you mean 'top_k'?",
        "space.forbid[0].rerankr",
        "space.forbid[1].reranker: no reranker is called 'mrm'",
        "only.generator: the space has no generator 'extractiv'; did you mean 'extractive'?",
    ):
        assert expected in str(error.value), expected


def test_a_null_kind_is_removed_and_only_keeps() -> None:
    assert list(space({**SMALL, "chunker": {"fixed": None, "sentence": {}}}).tree["chunker"]) == ["sentence"]
    assert list(space(SMALL, retriever=["rrf", "dense"]).tree["retriever"]) == ["dense", "rrf"]
    assert list(space(SMALL, reranker="mmr").tree["reranker"]) == ["mmr"]
    with pytest.raises(BadInput, match="no kind is left"):
        space({**SMALL, "chunker": {"fixed": None}})


scalars = st.integers(8, 64)
domains = (
    scalars
    | st.lists(scalars, min_size=1, max_size=3, unique=True)
    | st.tuples(scalars, st.integers(0, 9)).map(lambda t: f"{t[0]}..{t[0] + t[1]}")
)
spaces = st.fixed_dictionaries(
    {
        "chunker": st.dictionaries(
            st.sampled_from(["fixed", "sentence", "recursive"]), st.fixed_dictionaries({"size": domains}), min_size=1
        ),
        "retriever": st.dictionaries(
            st.sampled_from(["dense", "lexical"]),
            st.fixed_dictionaries({"top_k": domains, "depth": st.just(200)}),
            min_size=1,
        ),
    }
)


@given(spaces, st.data())
@settings(max_examples=60, deadline=None)
def test_numbering_covers_the_space_and_every_spec_is_of_it(data: dict[str, object], drawn: st.DataObject) -> None:
    made = space(data)
    assert made.size is not None
    index = drawn.draw(st.integers(0, made.size - 1))
    spec = made.at(index)
    full = PipelineSpec.from_dict(spec).to_dict()
    chosen = made.parameters(full)
    assert chosen is not None
    for value, domain in chosen.values():
        assert value in domain
        assert to_distribution(domain)._contains(to_distribution(domain).to_internal_repr(value))
    if made.size <= 200:
        assert len({spec_digest(made.at(i)) for i in range(made.size)}) == made.size


@pytest.mark.parametrize("sampler", [Tpe(startup_trials=3), Random(), CostAware(design=3)])
def test_samplers_propose_pipelines_of_the_space(sampler: Tpe | Random | CostAware) -> None:
    made = space(SMALL)
    study = optuna.create_study(direction="maximize")
    digests = []
    for seed in range(12):
        proposal = sampler.propose(made, study, seed=seed, tried_digests=(), cost_forecast=CostForecast())
        assert proposal is not None and proposal.trial is not None
        chosen = made.parameters(PipelineSpec.from_dict(proposal.spec).to_dict())
        assert chosen is not None and {name: value for name, (value, _) in chosen.items()} == {
            name: pytest.approx(value) if isinstance(value, float) else value
            for name, value in proposal.trial.params.items()
        }
        study.tell(proposal.trial, float(seed % 5))
        digests.append(spec_digest(proposal.spec))
    assert len(set(digests)) > 6


def test_a_sampler_proposes_the_same_for_the_same_seed_and_history() -> None:
    made = space(SMALL)
    for sampler in (Tpe(startup_trials=1), Random(), CostAware(design=2)):
        specs = []
        for _ in range(2):
            study = optuna.create_study(direction="maximize")
            for seed in range(4):
                proposal = sampler.propose(made, study, seed=seed, tried_digests=(), cost_forecast=CostForecast())
                assert proposal is not None and proposal.trial is not None
                study.tell(proposal.trial, float(seed))
                specs.append(proposal.spec)
        assert specs[:4] == specs[4:]


def test_a_grid_proposes_every_pipeline_once() -> None:
    made = space({"chunker": {"fixed": {"size": [32, 64, 96]}}, "retriever": {"dense": {"top_k": "1..4"}}})
    tried: set[str] = set()
    while (
        proposal := Grid().propose(
            made, optuna.create_study(), seed=1, tried_digests=tried, cost_forecast=CostForecast()
        )
    ) is not None:
        assert spec_digest(proposal.spec) not in tried
        tried.add(spec_digest(proposal.spec))
    assert len(tried) == made.size == 12
    with pytest.raises(BadInput, match="endless"):
        Grid().check(space({"retriever": {"weighted": {"weight": "0..1"}}}))


def test_a_new_pipeline_of_an_endless_space_is_drawn() -> None:
    endless = space({"retriever": {"weighted": {"weight": "0.0..1.0"}}})
    first = draw_new(endless, seed=1, tried_digests=())
    assert first is not None
    again = draw_new(endless, seed=1, tried_digests={spec_digest(first.spec)})
    assert again is not None and again.spec != first.spec


def test_a_whole_range_of_a_real_parameter_is_not_two_numbers() -> None:
    assert space({"retriever": {"weighted": {"weight": "0..1"}}}).tree["retriever"]["weighted"]["weight"] == Range(
        0.0, 1.0
    )


def test_forbids_are_checked_and_may_be_lists() -> None:
    with pytest.raises(BadInput) as error:
        space({**SMALL, "forbid": [{"retriever": {"dense": {"topk": 1}}}, "dense", {"reranker": None}]})
    for expected in ("dense has no parameter 'topk'; did you mean 'top_k'?", "forbid[1]: is 'dense'", "forbid[2]: is"):
        assert expected in str(error.value)
    made = space({**SMALL, "forbid": [{"retriever": ["dense", "lexical"]}]})
    drawn = draw_new(made, seed=0, tried_digests=())
    assert drawn is not None and not {"dense", "lexical"} & set(drawn.spec["retriever"])


def test_the_order_of_kinds_in_a_file_means_nothing() -> None:
    turned = {**SMALL, "retriever": dict(reversed(SMALL["retriever"].items()))}
    assert list(space(turned).tree["retriever"]) == list(space(SMALL).tree["retriever"])


def test_pipelines_that_match_a_forbid_are_ruled_out() -> None:
    made = space(
        {**SMALL, "forbid": [{"chunker": "sentence", "reranker": "mmr"}, {"retriever": {"dense": {"top_k": 1}}}]}
    )
    for index in range(0, made.size or 0, 997):
        spec = made.at(index)
        dense = spec["retriever"].get("dense", {}).get("top_k") == 1
        assert bool(made.reason_against(spec)) == (
            ("sentence" in spec["chunker"] and "mmr" in spec["reranker"]) or dense
        )


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_a_trial_survives_optuna(index: int) -> None:
    made = space(SMALL)
    full = PipelineSpec.from_dict(made.at(index)).to_dict()
    trial = Trial(
        number=0, state="COMPLETE", spec=full, origin="sampler", value=0.5, error=0.1, coverage=1.0,
        metrics={"a/b": 1.0}, seconds=2.0, computed={"x": 1}, reused={}, started="2026-01-01T00:00:00.000+00:00",
    )  # fmt: skip
    study = optuna.create_study(direction="maximize")
    study.add_trial(to_frozen_trial(trial, made))
    assert from_frozen_trial(study.trials[0]) == trial
    assert study.trials[0].params["chunker"] in kinds("chunker")
