"""Objectives against values worked out by hand, and against ragas itself."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from objectives.answer import AnswerSimilarity, GroundedAnswer, Rouge
from objectives.context import IdBased, NonLLMContext
from objectives.retrieval import EvidenceRecall
from rag_opt.core.documents import Document
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import kinds
from rag_opt.evaluation.run import Run, ScoringResources, ask
from rag_opt.evaluation.scoring import aggregate, score
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.models.encoder import Encoder
from rag_opt.models.llm.client import LLMClient
from rag_opt.models.llm.settings import Judge
from rag_opt.parts.embedders.model import with_dimensions
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.values import MemoryValues
from tests.scripted_judge import judged
from tests.servers import ChatModel, serving


@pytest.fixture(scope="module")
def run(builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset) -> Run:
    return ask(builder.pipeline(spec), dataset.questions)


@pytest.fixture(scope="module")
def tools(builder: PipelineBuilder) -> Iterator[ScoringResources]:
    with serving(ChatModel(judged)) as server:
        settings = Judge(kind="openai_compatible", base_url=f"{server.url}/v1", model="scripted")
        yield ScoringResources(builder.encoder, LLMClient(settings, MemoryValues(), who="judge"))


SETTINGS = {"ragas": {"metrics": {"AnswerAccuracy": {}, "ExactMatch": {}}}}


@pytest.mark.parametrize("kind", sorted(kinds("objective")))
def test_the_contract(kind: str, run: Run, tools: ScoringResources) -> None:
    objective = kinds("objective")[kind](**SETTINGS.get(kind, {}))
    values = MemoryValues()
    scores = score(objective, run, tools, values)
    again = score(objective, run, tools, values)
    assert objective.direction in ("maximize", "minimize")
    for name, column in scores.items():
        assert name.partition("/")[0] in ("quality", "retrieval", "ragas", "cost") and "@" not in name
        assert column.shape == (len(run.questions),)
        np.testing.assert_array_equal(column, again[name])
    halves = [score(objective, run.select(rows), tools, MemoryValues()) for rows in ([0, 1, 2, 3, 4], [5, 6, 7, 8, 9])]
    for name, column in scores.items():
        np.testing.assert_allclose(column, np.concatenate([half[name] for half in halves]), atol=1e-9)
    assert all(np.isfinite(number) for number in aggregate(objective, scores).values())


def test_answers_longer_than_the_similarity_model_reads_are_counted(run: Run, tools: ScoringResources) -> None:
    scores = GroundedAnswer().score(run, tools)["ragas/semantic_similarity_cut"]
    answered = [i for i, a in enumerate(run.responses.answers) if not a.refused and run.questions[i].answerable]
    assert np.nansum(scores) == 0 and np.flatnonzero(~np.isnan(scores)).tolist() == answered
    question = dataclasses.replace(run.questions[answered[0]], reference_answer="word " * 300)
    longer = dataclasses.replace(run.select(answered[:1]), questions=(question,))
    assert GroundedAnswer().score(longer, tools)["ragas/semantic_similarity_cut"].tolist() == [1]


def test_of_several_right_answers_the_best_counts(run: Run, tools: ScoringResources) -> None:
    row = next(i for i, a in enumerate(run.responses.answers) if not a.refused and run.questions[i].answerable)
    one, said = run.select([row]), run.responses.answers[row].text
    (question,) = one.questions

    def scores(reference: str, *others: str) -> dict[str, float]:
        asked = dataclasses.replace(question, reference_answer=reference, other_answers=others)
        objectives = (AnswerSimilarity(price_per_1000_tokens=0), Rouge())
        found = [objective.score(dataclasses.replace(one, questions=(asked,)), tools) for objective in objectives]
        return {name: column.item() for columns in found for name, column in columns.items()}

    wrong, right = "Nothing of the sort.", f"  {said}"
    alone, best = scores(wrong), scores(wrong, right)
    assert best == scores(right, wrong), "whatever their order"
    assert best["ragas/semantic_similarity"] == pytest.approx(1, abs=1e-4) and best["ragas/rouge_l"] == 1
    assert alone["ragas/semantic_similarity"] < 0.9 and alone["ragas/rouge_l"] < 1


def test_stored_scores_are_not_computed_again(run: Run, tools: ScoringResources) -> None:
    values = MemoryValues()
    score(GroundedAnswer(), run, tools, values)
    before = values.computed["scores"]
    score(GroundedAnswer(), run, tools, values)
    assert values.computed["scores"] == before == len(run.questions)
    score(GroundedAnswer(price_per_1000_tokens=0.1), run, tools, values)
    assert values.computed["scores"] == 2 * before


def test_grounded_answer_is_what_the_issue_says(run: Run, tools: ScoringResources, cards: EmbedderCards) -> None:
    from ragas.metrics.collections import SemanticSimilarity

    price, worth = 0.07, 0.4
    scored = GroundedAnswer(price_per_1000_tokens=price, refusal_worth=worth).score(run, tools)
    scores, attainable = scored["quality/grounded_answer"], scored["ragas/attainable_similarity"]
    recall = EvidenceRecall(price_per_1000_tokens=0).score(run, tools)["quality/evidence_recall_after_price"]
    encoder = Encoder(cards.read("minilm"), values=MemoryValues())

    class Plain:
        def embed_text(self, text: str) -> np.ndarray:
            return encoder.vectors([text], "sentence")[0]

    metric = SemanticSimilarity.__new__(SemanticSimilarity)
    metric.embeddings, metric.threshold = Plain(), None
    refused = answered = 0
    for i, question in enumerate(run.questions):
        answer = run.responses.answers[i]
        paid = price * run.responses.context_tokens[i] / 1000
        if not question.answerable:
            expected = worth * answer.refused
            refused += answer.refused
        elif answer.refused:
            expected = 0.0
        else:
            evidence = run.texts.of(question.evidence[0][0])
            said, best = (
                asyncio.run(metric.ascore(question.reference_answer, t)).value for t in (answer.text, evidence)
            )
            assert attainable[i] == pytest.approx(best, abs=1e-5)
            expected = (recall[i] + min(1.0, said / max(0.3, best))) / 2
            answered += 1
        assert scores[i] == pytest.approx(expected - paid, abs=1e-5), question.id
    assert refused and answered, "the tiny data set should show both"


def test_id_based_equals_sets_of_chunks(run: Run, tools: ScoringResources) -> None:
    scores = IdBased().score(run, tools)
    hits, chunks = run.responses.hits, run.chunks
    for i, question in enumerate(run.questions):
        if not question.evidence:
            assert np.isnan(scores["ragas/id_based_context_recall"][i])
            continue
        span = question.evidence[0][0]
        row = run.corpus.position[span.document_id]
        wanted = {
            (int(d), int(s))
            for d, s, e in zip(chunks.document, chunks.start, chunks.end, strict=True)
            if d == row and s < span.end and e > span.start  # type: ignore[union-attr]
        }
        kept = hits.document[i] >= 0
        got = set(zip(hits.document[i][kept].tolist(), hits.start[i][kept].tolist(), strict=True))
        assert scores["ragas/id_based_context_recall"][i] == pytest.approx(len(got & wanted) / len(wanted))
        assert scores["ragas/id_based_context_precision"][i] == pytest.approx(len(got & wanted) / len(got))


def test_finalist_metrics_are_in_range(run: Run, tools: ScoringResources) -> None:
    for objective in (Rouge(), NonLLMContext()):
        for column in objective.score(run, tools).values():
            known = column[~np.isnan(column)]
            assert len(known) >= 8 and (known >= 0).all() and (known <= 1).all()


def test_document_evidence_counts_as_recall(builder: PipelineBuilder, spec: PipelineSpec) -> None:
    from rag_opt.core.questions import WholeDocument

    asked = [
        Question("q", "What makes dough rise?", evidence=((WholeDocument("bread.md"),), (WholeDocument("bees.md"),)))
    ]
    run = ask(builder.pipeline(spec), asked)
    found = EvidenceRecall(price_per_1000_tokens=0).score(run, ScoringResources(builder.encoder))
    assert found["quality/evidence_recall_after_price"][0] in (0.5, 1.0)


def test_filters_are_never_left(builder: PipelineBuilder, default_pipeline: dict[str, object]) -> None:
    for retriever in set(kinds("retriever")) - {"sparse"}:  # its model is not here: tests/pipeline/test_kinds.py
        for reranker in ("none", "mmr", "late_interaction"):
            data = {**default_pipeline, "retriever": {retriever: {"top_k": 4, "depth": 10}}, "reranker": {reranker: {}}}
            asked = [Question("q", "What do bees and rivers share?", filters={"name": "bread.md"})]
            responses = builder.pipeline(PipelineSpec.from_dict(data)).ask(asked)
            shown = {builder.corpus.documents[d].id for d in responses.hits.document[0].tolist() if d >= 0}
            assert shown <= {"bread.md"}, (retriever, reranker)


def test_a_text_of_nothing_but_stop_words_breaks_nothing(
    tmp_path: Path, cards: EmbedderCards, spec: PipelineSpec
) -> None:
    from rag_opt.core.documents import Corpus
    from rag_opt.store.artifacts import Store

    corpus = Corpus((Document("a", "the and of"), Document("b", "it is")))
    store = Store(tmp_path)
    builder = PipelineBuilder(corpus, store, cards)
    responses = builder.pipeline(spec).ask([Question("q", "the"), Question("r", "zebra crossing")])
    assert len(responses.answers) == 2
    builder.close()
    store.close()


def test_what_is_logged_never_replaces_what_is_optimised(
    builder: PipelineBuilder, spec: PipelineSpec, dataset: Dataset
) -> None:
    from rag_opt.study.evaluation import ObjectiveSet, evaluate

    dear, cheap = EvidenceRecall(price_per_1000_tokens=0.5), EvidenceRecall(price_per_1000_tokens=0)
    alone = evaluate(builder, spec, dataset.questions, ObjectiveSet(dear, (), (), ()))
    logged = evaluate(builder, spec, dataset.questions, ObjectiveSet(dear, (), (cheap,), ()))
    np.testing.assert_array_equal(alone.optimised, logged.optimised)
    assert alone.metrics == logged.metrics
    np.testing.assert_array_equal(logged.scores["quality/evidence_recall_after_price"], logged.optimised)


def test_stored_scores_know_their_similarity_model_and_their_chunks(
    run: Run, cards: EmbedderCards, builder: PipelineBuilder, default_pipeline: dict[str, object], dataset: Dataset
) -> None:
    values = MemoryValues()
    for dimensions in (None, 128):
        card = with_dimensions(cards.read("minilm"), dimensions)
        encoder = Encoder(card, values=builder.store.values)
        score(GroundedAnswer(), run, ScoringResources(lambda _, e=encoder: e), values)  # type: ignore[misc]
    assert values.computed["scores"] == 2 * len(run.questions)
    other = PipelineSpec.from_dict({**default_pipeline, "chunker": {"recursive": {"size": 32, "overlap": 0.5}}})
    fresh, shared = MemoryValues(), MemoryValues()
    again = ask(builder.pipeline(other), dataset.questions)
    score(IdBased(), run, ScoringResources(builder.encoder), shared)
    for name, column in score(IdBased(), again, ScoringResources(builder.encoder), shared).items():
        np.testing.assert_array_equal(column, score(IdBased(), again, ScoringResources(builder.encoder), fresh)[name])
