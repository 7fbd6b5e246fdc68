"""The contract of every kind of every slot, found through the registry, in a whole pipeline that is really asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import rag_opt
from rag_opt.cli.composing import conf_folder
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.registry import kinds
from rag_opt.evaluation.run import ask
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.llm.prompts import prompt_library
from rag_opt.models.llm.settings import LanguageModel
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.models.runtimes import Machine
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.plan import plan
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.parity import find_differences
from rag_opt.store.artifacts import Store
from tests.production.bundles import write_asked
from tests.servers import ChatModel, Makers, Tei, serving
from tests.tiny_models import DIMENSIONS, READS_TOKENS, build, build_cross_encoder, build_sparse

BASE: dict[str, Any] = {
    "chunker": {"recursive": {"size": 24}},
    "embedder": {"model": {"name": "minilm"}},
    "query": {"none": {}},
    "retriever": {"dense": {"top_k": 3, "depth": 10}},
    "expander": {"none": {}},
    "reranker": {"none": {}},
    "packer": {"ranked": {"context_tokens": 300}},
    "generator": {"extractive": {"sentences": 1, "refuse_below": 0.3}},
}
# what a kind needs where its defaults do not do on this corpus
SETTINGS: dict[tuple[str, str], dict[str, Any]] = {
    ("chunker", "semantic"): {"size": 24, "percentile": 60},
    ("chunker", "cluster"): {"size": 24, "piece": 8},
    ("chunker", "markdown"): {"size": 24, "headings": "path"},
    ("embedder", "instruct"): {"name": "tiny_instruct", "task": "Find what answers"},
    ("embedder", "late"): {"window": 64},
    ("embedder", "pca"): {"project_to": 6},
    ("embedder", "static"): {"name": "tiny", "dimensions": 16},
    ("expander", "parent"): {"size": 48},
    ("retriever", "sparse"): {"name": "tiny_sparse"},
    ("retriever", "late_interaction"): {"name": "tiny"},
    ("reranker", "cross_encoder"): {"name": "tiny_cross", "depth": 6},
    ("reranker", "late_interaction"): {"depth": 6},
    ("reranker", "tei"): {"name": "tiny_served", "depth": 6},
    ("reranker", "hosted"): {"name": "tiny_hosted", "depth": 6},
}
# and of the other slots
BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("embedder", "none"): {"retriever": {"lexical": {"top_k": 3, "depth": 10}}, "generator": {"none": {}}},
    ("query", "route"): {"retriever": {"rrf": {"top_k": 3, "depth": 10}}},
}
SLOTS = ("chunker", "chunk_context", "embedder", "query", "retriever", "expander", "reranker", "generator")
EVERY = [(slot, kind) for slot in SLOTS for kind in kinds(slot)]


def scores_of(texts: Sequence[str]) -> np.ndarray:
    return np.array([float(sum(map(ord, text)) % 97) for text in texts], np.float32)


def says(message: str) -> str:
    """A language model that answers what it was asked in the form it was asked for."""
    if "Ranking:" in message:
        return "[2] > [1]"
    if "<piece>" in message:
        return f"It begins with {message.partition('<piece>')[2].split()[0]}."
    if "words, meaning or both" in message:
        return ("Words.", "meaning", "Both of them")[len(message) % 3]
    if "<passage" in message:
        return "The documents do not say." if "Australia" in message else "It is in the first [1], and the last [9]."
    question = message.rpartition("Question:")[2].strip().partition("\n")[0]
    return f"1. {question} Why?\n- What of it: {question}" if "Reword" in message else f"It is said that {question}"


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, dataset: Dataset) -> Iterator[PipelineBuilder]:
    root = tmp_path_factory.mktemp("kinds")
    tei = Tei("tiny/served", scores_of, len, model_type={"reranker": {"id2label": {"0": "x"}}}, max_input_length=9999)
    makers = Makers(lambda text: float(scores_of([text])[0]))
    with pytest.MonkeyPatch.context() as patch, serving(tei), serving(makers), serving(ChatModel(says)) as llm_client:
        patch.setenv("MAKERS_KEY", "a key")
        bert = build(root / "bert", "bert", "mean")
        cards = {
            "embedder/tiny": {"id": "tiny", "path": str(bert)},
            "embedder/tiny_instruct": {"id": "tiny", "path": str(bert), "query_prompt": "Instruct: {task}\nQuery: "},
            "embedder/tiny_sparse": {"id": "weights", "path": str(build_sparse(root / "weights")), "vectors": "sparse"},
            "reranker/tiny_cross": {"id": "cross", "path": str(build_cross_encoder(root / "cross"))},
            "reranker/tiny_served": {"id": "tiny/served", "url": tei.url},
            "reranker/tiny_hosted": {
                "id": "hosted",
                "hosted": True,
                "served_as": "voyage/rerank",
                "url": makers.url,
                "key_variable": "MAKERS_KEY",
            },
        }
        for name, card in cards.items():
            (root / name).parent.mkdir(exist_ok=True)
            more = {"dimensions": DIMENSIONS} if name.startswith("embedder") else {}
            more |= {"dimensions": 30522} if name == "embedder/tiny_sparse" else {}
            (root / f"{name}.yaml").write_text(yaml.safe_dump({**card, **more, "reads_tokens": READS_TOKENS}))
        folders = [conf_folder(), root]
        builder = PipelineBuilder(
            dataset.corpus,
            Store(root / "store"),
            embedder_card_library(folders),
            rerankers=reranker_card_library(folders),
            machine=Machine(runtime="torch", document_precision="float32"),
            prompts=prompt_library(folders),
            language_model=LanguageModel(kind="openai_compatible", base_url=f"{llm_client.url}/v1", model="scripted"),
        )
        yield builder
        builder.close()


def spec_with(slot: str, kind: str) -> PipelineSpec:
    settings = dict(SETTINGS.get((slot, kind), {}))
    if slot == "retriever":
        settings = {"top_k": 3, "depth": 10, **settings}
    elif slot == "chunker":
        settings = {"size": 24, **settings}
    return PipelineSpec.from_dict({**BASE, **BESIDE.get((slot, kind), {}), slot: {kind: settings}})


@pytest.mark.parametrize(("slot", "kind"), EVERY)
def test_a_pipeline_with_it_answers_and_repeats_itself(
    slot: str, kind: str, builder: PipelineBuilder, dataset: Dataset
) -> None:
    spec = spec_with(slot, kind)
    first = ask(builder.pipeline(spec), dataset.questions)
    assert (first.responses.hits.document[:, 0] >= 0).all(), "every question has a hit"
    again = ask(builder.pipeline(spec), dataset.questions[::-1])
    assert again.row_digests[::-1] == first.row_digests
    assert not [stage.name for stage in plan(builder, spec, dataset.questions).missing if stage.counted]
    encoded = builder.encoded()
    alone = [ask(builder.pipeline(spec), [question]).row_digests[0] for question in dataset.questions]
    assert alone == first.row_digests and builder.encoded() == encoded, "alone as in a batch, and nothing twice"


@pytest.mark.parametrize(("slot", "kind"), EVERY)
def test_nothing_outside_a_filter_is_ever_returned(
    slot: str, kind: str, builder: PipelineBuilder, dataset: Dataset
) -> None:
    asked = [
        Question(f"{question.id}/{name}", question.text, filters={"name": name})
        for question in dataset.questions
        for name in ("bread.md", "rivers.md")
    ]
    asked += [Question(f"{one.id}/but", one.text, exclude=("bread.md", "rivers.md")) for one in dataset.questions]
    run = ask(builder.pipeline(spec_with(slot, kind)), asked)
    for row, question in enumerate(asked):
        may = {question.filters["name"]} if question.filters else {*builder.corpus.ids} - {*question.exclude}
        shown = {builder.corpus.documents[d].id for d in run.responses.hits.document[row].tolist() if d >= 0}
        assert shown <= may and {span.document_id for span in run.responses.contexts[row]} <= may
    assert (run.responses.hits.document[-len(dataset.questions) :] >= 0).any()


TOGETHER: dict[str, dict[str, Any]] = {
    "distilled, reranked by tokens of the model itself": {
        "embedder": {"static": {"name": "tiny", "dimensions": 16}},
        "reranker": {"late_interaction": {"name": "tiny", "depth": 6}},
    },
    "another task than the card's, reranked": {
        "embedder": {"instruct": {"name": "tiny_instruct", "task": "Find what answers"}},
        "reranker": {"late_interaction": {"name": "tiny_instruct", "depth": 6}},
    },
    "feedback on projected vectors, widened": {
        "embedder": {"pca": {"project_to": 6}},
        "query": {"prf": {}},
        "retriever": {"rrf": {"top_k": 3, "depth": 10, "vectors": "exact"}},
        "expander": {"window": {}},
    },
    "vectors and learned weights of words": {
        "retriever": {"weighted": {"top_k": 3, "depth": 10, "words": "tiny_sparse"}},
    },
    "rewordings of a hybrid, ranked by a language model": {
        "query": {"multi_query": {}},
        "retriever": {"weighted": {"top_k": 3, "depth": 10, "lexical_depth": 5, "per_document": 2}},
        "reranker": {"llm": {"depth": 3}},
    },
}


@pytest.mark.parametrize("name", TOGETHER)
def test_parts_together_in_a_bundle(name: str, builder: PipelineBuilder, dataset: Dataset, tmp_path: Path) -> None:
    spec = PipelineSpec.from_dict({**BASE, **TOGETHER[name]})
    run = ask(builder.pipeline(spec), dataset.questions)
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions)
    assert find_differences(rag_opt.load(tmp_path / "bundle"), stored) == []
    again = ask(builder.pipeline(spec), dataset.questions)
    for stage in ("rewrite", "rerank"):
        if stage in run.responses.latency_ms and (spec.query.uses_llm or spec.reranker.uses_llm):
            first = run.responses.latency_ms[stage]
            assert (first > 0).all(), "what a language model took is known"
            np.testing.assert_array_equal(again.responses.latency_ms[stage], first)


@pytest.mark.parametrize(("slot", "kind"), [one for one in EVERY if one[1] != "tei"])
def test_its_bundle_returns_what_the_search_saw(
    slot: str, kind: str, builder: PipelineBuilder, dataset: Dataset, tmp_path: Path
) -> None:
    spec = spec_with(slot, kind)
    stored = write_asked(tmp_path / "bundle", builder, spec, dataset.questions[::2])  # one is unanswerable
    bundle = rag_opt.load(tmp_path / "bundle")
    assert find_differences(bundle, stored) == [] and find_differences(bundle, bundle.questions) == []
    assert not list((tmp_path / "bundle").rglob("*.pickle"))
