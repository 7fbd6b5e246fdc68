"""A search with guards on: nobody outside one wins, and samplers learn where that is."""

from __future__ import annotations

import contextlib
import dataclasses
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from objectives.retrieval import EvidenceRecall
from rag_opt.core.errors import BadInput
from rag_opt.core.questions import Dataset
from rag_opt.data.splits import split
from rag_opt.evaluation.guards import Guard, Guards
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec, SpecDict
from rag_opt.store.artifacts import Store
from rag_opt.study.ask_tell import run_ask_tell_loop
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.finalists import choose_winner
from rag_opt.study.folder import StudyFolder
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.samplers.feasibility import GuardModel
from rag_opt.study.samplers.interfaces import Sampler
from rag_opt.study.samplers.surrogate import Features
from rag_opt.study.samplers.tpe import Tpe
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, TrialLog
from tests.study.test_racing import REST, Quiet

SPACE = Space.from_dict(
    {
        "chunker": {"fixed": {"size": [8, 12, 16, 20, 24]}},
        "retriever": {"dense": {"top_k": "1..8"}, "weighted": {"top_k": "1..8", "weight": "0.0..1.0:0.1"}},
    },
    rest=REST,
    only={},
)
MOST_TOKENS = 60.0


def spec_of(top_k: int) -> SpecDict:
    named = {**REST, "chunker": {"fixed": {"size": 16}}, "retriever": {"dense": {"top_k": top_k}}}
    return PipelineSpec.from_dict(named).to_dict()


def search_in(folder: Path, dataset: Dataset, cards: EmbedderCards, sampler: Sampler, guards: Guards) -> Search:
    folder.mkdir(exist_ok=True)
    return Search(
        folder=StudyFolder(folder),
        space=SPACE,
        baseline=PipelineSpec.from_dict(spec_of(2)),
        sampler=sampler,
        objective_set=ObjectiveSet(EvidenceRecall(price_per_1000_tokens=0), (), (), ()),
        builder=PipelineBuilder(dataset.corpus, Store(folder.parent / "store"), cards),
        questions=dataset.questions,
        clusters=tuple(question.id for question in dataset.questions),
        trials=24,
        seed=0,
        guards=guards,
    )


@pytest.mark.parametrize(("sampler", "seeds"), [(Tpe(startup_trials=8), 1), (CostAware(design=4), 4)])
def test_nobody_outside_a_guard_wins_and_few_are_proposed(
    sampler: Sampler, seeds: int, tmp_path: Path, dataset: Dataset, cards: EmbedderCards
) -> None:
    guards, late, late_outside = Guards({"context_tokens": Guard(at_most=MOST_TOKENS)}), 0, 0
    for seed in range(seeds):
        search = search_in(tmp_path / f"{seed}", dataset, cards, sampler, guards)
        search = dataclasses.replace(search, seed=seed)
        log = TrialLog(search.folder.database, "s", SPACE, directions=["maximize"], guards=search.guards)
        run_ask_tell_loop(search, log, Quiet())
        outside = {t.number for t in log.trials if t.metrics.get("cost/context_tokens", 0.0) > MOST_TOKENS}
        assert outside == {t.number for t in log.trials if set(t.outside) == {"context_tokens"}}
        proposed = [t.number for t in log.trials[15:] if t.origin == "sampler"]
        late, late_outside = late + len(proposed), late_outside + len(outside.intersection(proposed))
        constraints = [frozen.constraints for frozen in log.sampling.get_trials(deepcopy=False) if frozen.constraints]
        assert {one["context_tokens"] > 0 for one in constraints} == {True, False}
        result = choose_winner(search, log.trials, (), split(dataset.questions, search_share=1.0), count=4)
        assert result is not None and result.winner not in outside
    assert late_outside <= late / 3, "they learn where the guard is"
    best = max(t.value or 0.0 for t in log.trials if t.number not in outside)
    assert result.searched_means[result.winner] == pytest.approx(best, abs=0.05)
    assert_a_busy_machine_changes_no_proposal(search, log.trials)
    search.builder.close()
    search.builder.store.close()


def assert_a_busy_machine_changes_no_proposal(search: Search, trials: list[Trial]) -> None:
    specs = [trial.spec for trial in trials]
    busy = [replace(t, made={name: (work, 100 * s) for name, (work, s) in t.made.items()}) for t in trials[:9]]
    quick, slow = (
        [
            search.new_cost_forecaster().cost_forecast(some, spent=0.5, paid=paid).seconds(specs)
            for paid in ("study", "store")
        ]
        for some in (trials[:9], busy)
    )
    assert (quick[0] == slow[0]).all() and len(set(quick[0].tolist())) > 2
    assert (quick[1] != slow[1]).any(), "what is forecast for people is measured"


def test_a_misspelt_guard_stops_the_search_after_the_baseline(
    tmp_path: Path, dataset: Dataset, cards: EmbedderCards
) -> None:
    search = search_in(tmp_path, dataset, cards, Tpe(), Guards({"context_tokns": Guard(times=2)}))
    log = TrialLog(search.folder.database, "s", SPACE, directions=["maximize"], guards=search.guards)
    with pytest.raises(BadInput, match="did you mean 'context_tokens'"):
        run_ask_tell_loop(search, log, Quiet())
    assert [trial.origin for trial in log.trials] == ["baseline"], "it is kept"
    search.builder.close()
    search.builder.store.close()


def test_the_chance_to_keep_a_guard_falls_towards_what_breaks_it() -> None:
    tried = [spec_of(k) for k in (1, 2, 3, 6, 7, 8)]
    excesses = [{"tokens": 16.0 * k - 70} for k in (1, 2, 3, 6, 7, 8)]
    chances = np.exp(GuardModel(Features(SPACE), tried, excesses).log_chance([spec_of(k) for k in (1, 4, 8)]))
    assert chances[0] > 0.9 > chances[1] > chances[2] and chances[2] < 0.1
    kept = [{"tokens": -1.0}] * 6
    assert GuardModel(Features(SPACE), tried, kept).log_chance([spec_of(8)]).tolist() == [0.0]


def test_crashed_trials_are_tried_again_where_that_is_asked_for_and_faults_of_the_machine_always(
    tmp_path: Path, dataset: Dataset, cards: EmbedderCards
) -> None:
    search = replace(search_in(tmp_path, dataset, cards, Tpe(), Guards()), trials=4)
    log = TrialLog(search.folder.database, "s", SPACE, directions=["maximize"])
    run_ask_tell_loop(search, log, Quiet())
    assert search.count_tried(log.trials) == 4
    started, base = log.trials[0].started, len(log.trials)
    for top_k, reason in ((7, "RuntimeError: a plug-in crashed"), (8, "OSError: [Errno 28] No space left on device")):
        log.commit(Trial(len(log.trials), "FAIL", spec_of(top_k), "sampler", reason=reason, started=started), None)
    run_ask_tell_loop(search, log, Quiet())
    assert [(t.spec, t.state) for t in log.trials[base + 2 :]] == [(spec_of(8), "COMPLETE")], "the disk was full"
    run_ask_tell_loop(replace(search, retry_failed=True), log, Quiet())
    assert [(t.spec, t.state) for t in log.trials[base + 3 :]] == [(spec_of(7), "COMPLETE")]
    again = TrialLog(search.folder.database, "s", SPACE, directions=["maximize"])
    assert again.trials == log.trials and not again.take_damage()
    run_ask_tell_loop(replace(search, retry_failed=True), again, Quiet())
    assert len(again.trials) == base + 4, "each once"
    search.builder.close()
    search.builder.store.close()


def test_a_database_that_is_damaged_during_a_search_is_written_anew_from_memory(tmp_path: Path) -> None:
    log = TrialLog(tmp_path / "study.db", "s", SPACE, directions=["maximize"])
    trials = [
        Trial(number, "COMPLETE", spec_of(number + 1), "sampler", value=0.5, started="2026-01-01T00:00:00.000+00:00")
        for number in range(3)
    ]
    for trial in trials[:2]:
        log.commit(trial, None)
    with contextlib.closing(sqlite3.connect(tmp_path / "study.db")) as connection, connection:
        connection.execute("ALTER TABLE trials RENAME TO gone")
    log.commit(trials[2], None)
    assert "was damaged" in log.take_damage()[0]
    assert TrialLog(tmp_path / "study.db", "s", SPACE, directions=["maximize"]).trials == trials
