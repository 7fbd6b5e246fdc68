"""No objective pays for a pipeline that nobody wants: always refusing, saying everything, returning everything."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from rag_opt.core.registry import kinds
from rag_opt.data.datasets.python_reference import PythonReference
from rag_opt.evaluation.guards import Guards, default_guards
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.run import Run, ScoringResources, ask
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.evaluation import measure_guarded
from tests.objectives.degenerate import DEGENERATE

BASELINE = {
    "chunker": {"recursive": {"size": 224}},
    "embedder": {"model": {"name": "minilm"}},
    "retriever": {"lexical": {"top_k": 5}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 1500}},
    "generator": {"extractive": {"sentences": 2, "refuse_below": 0.2}},
}
_EVERY_NTH = 12  # question of the default data set: enough to tell, and few to embed


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, cards: EmbedderCards) -> Iterator[PipelineBuilder]:
    store = Store(tmp_path_factory.mktemp("degenerate"))
    builder = PipelineBuilder(PythonReference().read().corpus, store, cards)
    yield builder
    builder.close()
    store.close()


@pytest.fixture(scope="module")
def baseline(builder: PipelineBuilder) -> Run:
    return ask(builder.pipeline(PipelineSpec.from_dict(BASELINE)), PythonReference().read().questions[::_EVERY_NTH])


def value(objective: Objective, run: Run, builder: PipelineBuilder) -> float:
    scores = next(iter(objective.score(run, ScoringResources(builder.encoder)).values()))
    sign = 1 if objective.direction == "maximize" else -1
    return sign * float(np.nanmean(scores))


@pytest.mark.parametrize("name", DEGENERATE)
def test_each_breaks_a_guard_of_every_search(name: str, baseline: Run) -> None:
    """So it wins under no objective, whatever that is: those of a judge, and one's own."""
    guards = Guards({key: guard for key, guard in default_guards().items() if guard is not None})
    scored = np.zeros(len(baseline.questions))
    ours, theirs = (measure_guarded(run, scored) for run in (DEGENERATE[name](baseline), baseline))
    assert guards.broken(ours, theirs) and not guards.broken(theirs, theirs)


@pytest.mark.parametrize("name", DEGENERATE)
@pytest.mark.parametrize("kind", ["grounded_answer", "evidence_recall", "answer_similarity"])
def test_none_beats_the_baseline_where_a_search_optimises_by_itself(
    kind: str, name: str, baseline: Run, builder: PipelineBuilder
) -> None:
    """Without any guard: the objectives of `objective.auto`."""
    objective = kinds("objective")[kind]()
    assert value(objective, DEGENERATE[name](baseline), builder) <= value(objective, baseline, builder)
