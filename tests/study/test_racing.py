from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.cost import ContextTokens
from objectives.retrieval import EvidenceRecall
from rag_opt.core.questions import Dataset, Question
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.ask_tell import run_ask_tell_loop
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.folder import StudyFolder
from rag_opt.study.pareto_front import front
from rag_opt.study.racing import Race
from rag_opt.study.samplers.uniform import Random
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog, freeze, load_trials, thaw


@settings(max_examples=30)
@given(count=st.integers(1, 300))
def test_blocks_grow_and_the_last_is_all(count: int) -> None:
    questions = [Question(str(number), "?") for number in range(count)]
    blocks = [set(rows.tolist()) for rows in Race().blocks(questions)]
    assert blocks[0] <= blocks[1] <= blocks[2] == set(range(count))
    assert len(blocks[0]) == -(-count // 4) and len(blocks[1]) == -(-count // 2)
    again = [rows.tolist() for rows in Race().blocks(questions[::-1])]
    assert {count - 1 - row for row in again[0]} == blocks[0], "which questions come first does not hang on their order"


def test_who_surely_loses_has_lost_and_nobody_else() -> None:
    random = np.random.default_rng(0)
    theirs = random.uniform(0, 1, 60)
    clusters = [str(number) for number in range(60)]
    race = Race()
    lost = race.lost(theirs - 0.3 + random.normal(0, 0.2, 60), theirs, clusters)
    assert lost is not None and lost.high < 0.01
    assert race.lost(theirs + random.normal(0, 0.2, 60), theirs, clusters) is None
    assert race.lost(theirs[:3] - 1, theirs[:3], clusters[:3]) is None, "three questions prove nothing"
    assert race.lost(theirs - 1, theirs, ["one"] * 60) is None, "nor does one document"


def test_a_race_is_rarely_lost_by_an_equal() -> None:
    """The bound holds at 99 %: of pipelines that are a margin better, about one in a hundred is stopped."""
    random, race = np.random.default_rng(1), Race()
    clusters, stopped = [str(number) for number in range(40)], 0
    for _ in range(600):
        theirs = random.uniform(0, 1, 40)
        stopped += race.lost(theirs + 0.01 + random.normal(0, 0.3, 40), theirs, clusters) is not None
    assert stopped <= 16  # of 600 with p = 0.01: more than 16 happens once in a thousand


def test_a_lost_race_survives_optuna() -> None:
    space = Space.from_dict({"retriever": {"dense": {"top_k": [1, 2]}}}, rest=REST, only={})
    lost = Trial(3, "PRUNED", space.at(1), "sampler", partial=0.25, asked=10, raced=True, reason="lost", error=0.1)
    frozen = freeze(lost, space)
    assert frozen.intermediate_values == {10: 0.25}
    assert thaw(frozen) == Trial(**{**lost.__dict__, "number": frozen.number})
    assert lost.counts and not Trial(0, "PRUNED", space.at(0), "sampler", reason="impossible").counts


REST = {
    "chunker": {"fixed": {"size": 24}},
    "embedder": {"model": {"name": "minilm"}},
    "retriever": {"rrf": {"top_k": 3}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"extractive": {}},
}


class Quiet:
    def note(self, *_: object) -> None: ...
    def trial_started(self, *_: object) -> None: ...
    def trial_finished(self, *_: object) -> None: ...
    def swept(self, *_: object) -> None: ...


def searched(
    folder: Path, dataset: Dataset, cards: EmbedderCards, objective_set: ObjectiveSet, **more: object
) -> list[Trial]:
    """Pipelines of one or six hits of 8 or 24 tokens; six of 24 are best. Questions four times over."""
    slots = {"chunker": {"fixed": {"size": [8, 24]}}, "retriever": {"dense": {"top_k": [1, 6]}}}
    space = Space.from_dict(slots, rest=REST, only={})
    questions = tuple(
        Question(f"{q.id}-{copy}", q.text, q.reference_answer, q.evidence)
        for copy in range(4)
        for q in dataset.questions
        if q.evidence
    )
    search = Search(
        folder=StudyFolder(folder),
        space=space,
        baseline=PipelineSpec.from_dict({**REST, "retriever": {"dense": {"top_k": 6}}}),
        sampler=Random(),
        objective_set=objective_set,
        builder=PipelineBuilder(dataset.corpus, Store(folder / "store"), cards),
        questions=questions,
        clusters=tuple(q.id for q in questions),
        trials=6,
        seed=0,
        **more,  # type: ignore[arg-type]
    )
    folder.mkdir(exist_ok=True)
    log = TrialLog(search.folder.database, "s", space, directions=objective_set.directions)
    run_ask_tell_loop(search, log, Quiet())
    search.builder.close()
    search.builder.store.close()
    assert load_trials(search.folder.database, "s") == log.trials
    return log.trials


def test_a_pipeline_that_leaves_the_evidence_behind_is_not_answered(
    tmp_path: Path, dataset: Dataset, cards: EmbedderCards
) -> None:
    objective_set = ObjectiveSet(EvidenceRecall(price_per_1000_tokens=0), (), (), ())
    whole = searched(tmp_path / "whole", dataset, cards, objective_set)
    raced = searched(tmp_path / "raced", dataset, cards, objective_set, races=True)
    values = {repr(trial.spec): trial.value for trial in whole}
    assert all(trial.value is not None for trial in whole)
    best = max(value for value in values.values() if value is not None)
    screened = [trial for trial in raced if "screened before answering: evidence recall" in trial.reason]
    assert screened
    for trial in raced:
        known = values.get(repr(trial.spec))
        if trial in screened:
            assert trial.raced and trial.asked == 0
            assert known is not None and known < best - 0.05, "only what leaves evidence behind"
        elif trial.raced:
            assert 0 < trial.asked < 32 and known is not None and known < best + 0.01, "only what gains nothing"
        elif known is not None:
            assert trial.value == pytest.approx(known), "who finishes was asked everything"


def test_several_objectives_keep_their_front(tmp_path: Path, dataset: Dataset, cards: EmbedderCards) -> None:
    objective_set = ObjectiveSet(EvidenceRecall(price_per_1000_tokens=0), (ContextTokens(),), (), ())
    trials = searched(tmp_path / "s", dataset, cards, objective_set)
    best = front(trials, objective_set.directions)
    assert len(best) >= 2 and [t.value for t in best] == sorted((t.value or 0 for t in best), reverse=True)
    for trial in trials:
        assert trial.values is not None and len(trial.values) == 2
        beaten = any(o.values[0] >= trial.values[0] and o.values[1] < trial.values[1] for o in best if o.values)
        assert (trial in best) or beaten or any(o.values == trial.values for o in best)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
def test_the_front_is_what_nobody_beats(points: list[tuple[int, int]]) -> None:
    trials = [
        Trial(i, "COMPLETE", {}, "sampler", value=float(a), others=(float(b),)) for i, (a, b) in enumerate(points)
    ]
    kept = {trial.number for trial in front(trials, ["maximize", "minimize"])}
    for i, (a, b) in enumerate(points):
        beaten = any(c >= a and d <= b and (c, d) != (a, b) for c, d in points)
        assert (i in kept) != beaten
