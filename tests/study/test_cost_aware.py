from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from rag_opt.pipeline.spec import SpecDict, spec_digest
from rag_opt.study.cost.model import CostForecast, CostModel, Prior, UnitCosts
from rag_opt.study.samplers.cost_aware import CostAware, CostAwareSampler
from rag_opt.study.samplers.first_design import FirstDesign
from rag_opt.study.samplers.proposals import to_distribution
from rag_opt.study.samplers.surrogate import Features, Surrogate, log_expected_improvement
from rag_opt.study.space.space import Space

SPACE = {
    "chunker": {"recursive": {"size": [64, 128, 224], "overlap": [0.0, 0.2]}, "sentence": {"size": [64, 128, 224]}},
    "embedder": {"model": {"name": ["minilm", "minilm_128"]}},
    "retriever": {"dense": {"top_k": "1..12"}, "weighted": {"top_k": "1..12", "weight": "0.0..1.0:0.1"}},
    "reranker": {"none": {}, "mmr": {"trade_off": [0.5, 0.8]}},
}
REST: SpecDict = {"packer": {"ranked": {}}, "generator": {"extractive": {}}}


@pytest.fixture(scope="module")
def space() -> Space:
    return Space.from_dict(SPACE, rest=REST, only={})


def truth(spec: SpecDict) -> float:
    """Additive, with one interaction: long chunks want a smaller cut."""
    ((_, cut),) = spec["chunker"].items()
    ((kind, retriever),) = spec["retriever"].items()
    score: float = 0.1 * (cut["size"] == 128) + 0.2 * (kind == "weighted") - 0.05 * ("mmr" in spec["reranker"])
    score -= 0.01 * abs(retriever["top_k"] - 800 / cut["size"]) + 0.1 * abs(retriever.get("weight", 0.3) - 0.6)
    return 0.5 + score


def told(space: Space, specs: list[SpecDict]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for spec in specs:
        chosen = space.parameters(spec) or {}
        study.add_trial(
            optuna.trial.create_trial(
                value=truth(spec),
                params={path: value for path, (value, _) in chosen.items()},
                distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
            )
        )
    return study


def drawn(space: Space, count: int, seed: int = 0) -> list[SpecDict]:
    random = np.random.default_rng(seed)
    return [space.draw(random) for _ in range(count)]


def test_a_drawn_pipeline_is_of_the_space_and_comes_back_from_its_parameters(space: Space) -> None:
    for spec in drawn(space, 200):
        chosen = space.parameters(spec)
        assert chosen is not None
        assert space.spec_from_parameters({path: value for path, (value, _) in chosen.items()}) == spec
    assert space.spec_from_parameters({"retriever": "dense"}) is None


def test_the_surrogate_learns_an_additive_score(space: Space) -> None:
    known, new = drawn(space, 60), drawn(space, 200, seed=1)
    scores = np.array([truth(spec) for spec in known])
    model = Surrogate.fit(Features(space), known, scores)
    mean, spread = model.predict(new)
    expected = np.array([truth(spec) for spec in new])
    assert 1 - ((mean - expected) ** 2).mean() / expected.var() > 0.8
    assert (np.abs(mean - expected) < 3 * spread).mean() > 0.9
    at_known, sure = model.predict(known)
    assert np.abs(at_known - scores).max() < 0.2 * scores.std() and sure.mean() < spread.mean()


@pytest.mark.parametrize("scores", [[0.5, 0.5, 0.5, 0.5, 0.5], [0.1, 0.2]])
def test_equal_scores_and_too_few_scores_are_refused(space: Space, scores: list[float]) -> None:
    with pytest.raises(ValueError, match="too few different scores"):
        Surrogate.fit(Features(space), drawn(space, len(scores)), np.array(scores))


@settings(deadline=None)
@given(mean=st.floats(-2, 2), spread=st.floats(0.01, 2), best=st.floats(-2, 2))
def test_expected_improvement_equals_its_integral(mean: float, spread: float, best: float) -> None:
    found = log_expected_improvement(np.array([mean]), np.array([spread]), best)[0]
    z = (mean - best) / spread
    if z > -6:
        area, _ = quad(lambda x: (x - best) * norm.pdf(x, mean, spread), best, max(best, mean) + 12 * spread, limit=200)
        assert found == pytest.approx(math.log(area), abs=1e-3)
    assert np.isfinite(found)


def test_expected_improvement_still_orders_scores_far_below_the_best() -> None:
    gains = log_expected_improvement(np.linspace(-30, 0, 50), np.ones(50), 0.5)
    assert np.isfinite(gains).all() and (np.diff(gains) > 0).all()


@given(intercept=st.floats(-9, 0), slope=st.floats(0.9, 1.1), count=st.integers(3, 30), seed=st.integers(0, 99))
def test_seconds_per_work_are_learned_and_shared_by_a_family(
    intercept: float, slope: float, count: int, seed: int
) -> None:
    work = np.exp(np.random.default_rng(seed).uniform(2, 12, count))
    seconds = np.exp(intercept + slope * np.log(work))
    model = CostModel([{"embed a": (float(w), float(s))} for w, s in zip(work, seconds, strict=True)])
    asked = float(np.exp(np.log(work).mean()))
    assert model.seconds("embed a", asked) == pytest.approx(np.exp(intercept + slope * np.log(asked)), rel=0.25)
    assert model.seconds("embed b", asked) == pytest.approx(model.seconds("embed a", asked))
    assert model.seconds("embed a", 0) == 0


def by_size(dear: int, price: float) -> CostForecast:
    """Chunks of one size cost `price` seconds, all else one."""
    costs = CostModel([{"cut": (1.0, 1.0), "dear": (1.0, price)}] * 50)

    def work(spec: SpecDict) -> Iterator[tuple[str, float]]:
        ((_, cut),) = spec["chunker"].items()
        yield ("dear" if cut["size"] == dear else "cut"), 1.0

    return CostForecast(work, costs)


def proposed(space: Space, cost_forecast: CostForecast, known: list[SpecDict], **settings: Any) -> list[SpecDict]:
    tried = {spec_digest(spec) for spec in known}
    sampler = CostAware(**settings)
    found = [
        sampler.propose(space, told(space, known), seed=seed, tried_digests=tried, cost_forecast=cost_forecast).spec  # type: ignore[union-attr]
        for seed in range(8)
    ]
    assert not {spec_digest(spec) for spec in found} & tried
    return found


def test_an_expensive_pipeline_is_proposed_only_for_more_expected_improvement(space: Space) -> None:
    known = drawn(space, 40)

    def sizes(price: float) -> int:
        return sum(
            next(iter(spec["chunker"].values()))["size"] == 128 for spec in proposed(space, by_size(128, price), known)
        )

    assert sizes(1.0) >= 6, "the best size when it costs no more than others"
    assert sizes(1e9) == 0


def test_costs_do_not_matter_at_the_end_of_the_budget(space: Space) -> None:
    known = drawn(space, 40)
    dear = by_size(128, 1e9)
    late = CostForecast(dear.work, dear.costs, spent=1.0)
    assert any(next(iter(s["chunker"].values()))["size"] == 128 for s in proposed(space, late, known))


def test_the_first_design_varies_query_time_settings_on_one_cheap_index(space: Space) -> None:
    known: list[SpecDict] = []
    for number in range(5):
        cost_forecast = by_size(64, 0.01)
        found = CostAware(design=5).propose(
            space,
            told(space, known),
            seed=number,
            tried_digests={spec_digest(s) for s in known},
            cost_forecast=cost_forecast,
        )
        assert found is not None
        known.append(found.spec)
    assert {next(iter(spec["chunker"].values()))["size"] for spec in known} == {64}
    assert len({repr(spec["retriever"]) for spec in known}) == 5
    assert {next(iter(spec["retriever"])) for spec in known} == {"dense", "weighted"}


def of_models(priors: dict[str, Prior]) -> Space:
    """A space of several models beside what `space` has, each of an embedder that may be cut."""
    tree = {
        "chunker": {"recursive": {"size": [64, 128], "overlap": 0.0}},
        "embedder": {"model": {"name": list(priors), "dimensions": [None, 64]}},
        "retriever": {"dense": {"top_k": "1..12", "depth": 50}, "weighted": {"weight": "0.0..1.0:0.1"}},
        "generator": {"extractive": {"sentences": [1, 2, 3]}},
    }
    return Space.from_dict(tree, rest={"reranker": {"none": {}}, "packer": {"ranked": {}}}, only={})


def tried_in_turn(space: Space, priors: dict[str, Prior], *, trials: int, fails: str = "") -> list[SpecDict]:
    """What a search of so many trials proposes; every trial of the model `fails` crashes."""
    study, known = optuna.create_study(direction="maximize"), list[SpecDict]()

    def work(spec: SpecDict) -> Iterator[tuple[str, float]]:
        yield "embed", priors[spec["embedder"]["model"]["name"]].parameters_millions or 1.0

    for number in range(trials):
        found = CostAware(design=4).propose(
            space,
            study,
            seed=number,
            tried_digests={spec_digest(spec) for spec in known},
            cost_forecast=CostForecast(work, spent=number / trials, priors=priors),
        )
        assert found is not None and found.trial is not None
        known.append(found.spec)
        if found.spec["embedder"]["model"]["name"] == fails:
            study.tell(found.trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(found.trial, value_of(found.spec))
    return known


def value_of(spec: SpecDict) -> float:
    retriever, generator = (next(iter(spec[slot].values())) for slot in ("retriever", "generator"))
    return float(retriever.get("weight", 0.4) + generator["sentences"] / 10)


def test_a_trial_that_was_pruned_is_no_failure_of_its_model() -> None:
    space = of_models(PRIORS)
    study = told_of(space, [space.draw(np.random.default_rng(seed)) for seed in range(12)])
    for seed in range(30, 33):
        spec = {**space.draw(np.random.default_rng(seed)), "embedder": {"model": {"name": "large", "dimensions": None}}}
        chosen = space.parameters(spec) or {}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED,
                params={path: value for path, (value, _) in chosen.items()},
                distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
            )
        )
    sampler = CostAwareSampler(space, CostForecast(spent=0.6, priors=PRIORS), seed=0, tried_digests=())
    sampler.infer_relative_search_space(study, study.ask()._cached_frozen_trial)
    assert sampler._left_alone == set()


def told_of(space: Space, specs: list[SpecDict]) -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    for spec in specs:
        chosen = space.parameters(spec) or {}
        study.add_trial(
            optuna.trial.create_trial(
                value=value_of(spec),
                params={path: value for path, (value, _) in chosen.items()},
                distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
            )
        )
    return study


PRIORS = {
    "small": Prior("small", 20, 40.0),
    "unknown": Prior("unknown", 5, None),
    "middle": Prior("middle", 110, 44.0),
    "large": Prior("large", 7000, 60.0),
}


def test_every_family_enters_in_the_first_half_the_cheap_ones_first_at_the_best_settings_so_far() -> None:
    known = tried_in_turn(of_models(PRIORS), PRIORS, trials=40)
    names = [spec["embedder"]["model"]["name"] for spec in known]
    first = {name: names.index(name) for name in PRIORS}
    assert first["middle"] == 0, "the best small one by its published quality; a large one waits"
    assert 0 < first["unknown"] < first["small"] < first["large"] <= 22, "the others by what they cost"
    for name in ("unknown", "small", "large"):
        before, entry = known[: first[name]], known[first[name]]
        best = max(before, key=value_of)
        assert value_of(entry) == value_of(best) and entry["chunker"] == best["chunker"]
        assert entry["embedder"]["model"]["dimensions"] == best["embedder"]["model"]["dimensions"], "at like settings"


def test_at_the_end_the_best_pipeline_is_tried_with_cheaper_models() -> None:
    priors = {"cheap": Prior("cheap", 20, 40.0), "dear": Prior("dear", 110, 44.0), "dearer": Prior("x", 300, 43.0)}
    space = of_models(priors)

    def made(name: str, size: int) -> SpecDict:
        spec = space.draw(np.random.default_rng(0))
        return {**spec, "chunker": {"recursive": {"size": size, "overlap": 0.0}}} | {
            "embedder": {"model": {"name": name, "dimensions": None}}
        }

    def proposed(tried: list[SpecDict], scores: list[float], spent: float) -> SpecDict | None:
        def keep_new(specs: Sequence[SpecDict]) -> list[SpecDict]:
            return [spec for spec in specs if spec not in tried]

        forecast = CostForecast(spent=spent, priors=priors)
        design = FirstDesign(space, forecast, np.random.default_rng(1), 6, keep_new)
        return design.check_cheaper(tried, np.array(scores))

    tried = [made("cheap", 64), made("dear", 128), made("dearer", 64)]
    best_is_dear = [0.5, 0.9, 0.4]
    assert proposed(tried, best_is_dear, 0.5) is None, "not before the end"
    assert proposed(tried, best_is_dear, 0.9) == made("cheap", 128), "and never with a dearer one"
    assert proposed([*tried, made("cheap", 128)], [*best_is_dear, 0.6], 0.9) is None, "once"
    assert proposed(tried, [0.9, 0.5, 0.4], 0.9) is None, "the best is the cheapest"
    assert proposed(tried, [0.5, 0.7, 0.9], 0.9) == made("dear", 64), "that did best of the cheaper ones"
    assert proposed([], [], 0.9) is None


def test_an_unknown_quality_is_not_the_worst() -> None:
    priors = {"poor": Prior("poor", 100, 30.0), "unknown": Prior("unknown", 100, None), "usual": Prior("u", 100, 40.0)}
    assert tried_in_turn(of_models(priors), priors, trials=1)[0]["embedder"]["model"]["name"] != "poor"


def test_a_model_that_never_answers_is_left_alone_after_two_trials() -> None:
    known = tried_in_turn(of_models(PRIORS), PRIORS, trials=40, fails="large")
    names = [spec["embedder"]["model"]["name"] for spec in known]
    assert names.count("large") == 2


def test_an_impossible_pipeline_is_never_proposed(space: Space) -> None:
    def work(spec: SpecDict) -> Iterator[tuple[str, float]]:
        ((_, cut),) = spec["chunker"].items()
        yield "cut", (math.inf if cut["size"] > 100 else 1.0)

    for known in ([], drawn(space, 20)):
        for spec in proposed(space, CostForecast(work), known):
            assert next(iter(spec["chunker"].values()))["size"] == 64


def test_equal_scores_fall_back_to_tpe(space: Space) -> None:
    study = optuna.create_study(direction="maximize")
    for spec in drawn(space, 12):
        chosen = space.parameters(spec) or {}
        study.add_trial(
            optuna.trial.create_trial(
                value=0.5,
                params={path: value for path, (value, _) in chosen.items()},
                distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
            )
        )
    found = CostAware(design=2).propose(space, study, seed=0, tried_digests=(), cost_forecast=CostForecast())
    assert found is not None and found.expected_improvement is None and found.spec in space


def test_it_finds_the_best_pipeline_with_few_trials(space: Space) -> None:
    best = max(truth(space.draw(np.random.default_rng(seed))) for seed in range(3000))
    study, tried = optuna.create_study(direction="maximize"), set[str]()
    values = []
    for seed in range(35):
        found = CostAware().propose(space, study, seed=seed, tried_digests=tried, cost_forecast=CostForecast())
        assert found is not None and found.trial is not None
        study.tell(found.trial, truth(found.spec))
        tried.add(spec_digest(found.spec))
        values.append(truth(found.spec))
    assert max(values) > best - 0.02


def test_it_serves_as_an_optuna_sampler(space: Space) -> None:
    study = told(space, drawn(space, 10))
    study.sampler = CostAwareSampler(space, CostForecast(), seed=0, tried_digests=())
    trial = study.ask()
    trial.suggest_categorical("retriever", ["dense", "weighted"])
    trial.suggest_float("something else", 0, 1)
    study.tell(trial, 1.0)


def test_it_learns_from_lost_races(space: Space) -> None:
    """With all but one pipeline, of poor chunks, stopped early it leaves these chunks, and knows what lost."""
    study = told(space, [next(spec for spec in drawn(space, 50) if next(iter(spec["chunker"].values()))["size"] == 64)])
    for spec in drawn(space, 20, seed=3):
        chosen = space.parameters(spec) or {}
        study.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED,
                intermediate_values={10: truth(spec) - 0.1},
                params={path: value for path, (value, _) in chosen.items()},
                distributions={path: to_distribution(domain) for path, (_, domain) in chosen.items()},
            )
        )
    found = [
        CostAware().propose(space, study, seed=seed, tried_digests=(), cost_forecast=CostForecast())
        for seed in range(10)
    ]
    assert all(one is not None and one.expected_improvement is not None for one in found), (
        "by its model, not by its first design"
    )
    sizes = [next(iter(one.spec["chunker"].values()))["size"] for one in found if one is not None]
    assert sizes.count(64) < 5, sizes


def test_rounding_noise_is_removed_from_a_parameter(space: Space) -> None:
    spec = space.draw(np.random.default_rng(0))
    spec["retriever"] = {"weighted": {"top_k": 3, "weight": 0.3}}
    chosen = {path: value for path, (value, _) in (space.parameters(spec) or {}).items()}
    assert space.spec_from_parameters({**chosen, "retriever.weighted.weight": 0.1 + 0.2}) == spec


def test_unit_costs_grow_with_the_model_and_with_who_answers() -> None:
    costs = UnitCosts({"small": 11.0, "large": 110.0, "static": 0.0}, by_llm={"answer llm"})
    assert costs.seconds("embed large", 100) == pytest.approx(10 * costs.seconds("embed small", 100))
    assert costs.seconds("embed unknown", 100) == costs.seconds("embed small", 100)
    assert 0 < costs.seconds("embed static", 100) < costs.seconds("embed small", 100)
    assert costs.seconds("answer llm", 10) > costs.seconds("answer extractive", 10) > 0
    assert costs.seconds("embed small", 0) == 0 and costs.seconds("rest", 5) > 0
