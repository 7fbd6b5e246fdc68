"""What stands before a chunk: where it is searched, never where it is quoted; and who wrote it, in which order."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rag_opt.cli.composing import conf_folder
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import ImpossiblePipeline, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.llm.settings import LanguageModel, Request
from rag_opt.parts.chunk_contexts.llm import WrittenChunkContext
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.plan import plan
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.store.artifacts import Store
from rag_opt.study.cost.forecaster import CostForecaster
from rag_opt.study.space.space import Space
from tests.servers import ChatModel, serving

moved = "".join(f"In year {year} it moved to the coast again. " for year in range(1903, 1914))
CORPUS = Corpus(
    (
        Document("a", "It was founded in 1902. " + moved, title="The Heron Society"),
        Document("b", "".join(f"Nothing happened on day {day}. " for day in range(8)), title="Minutes"),
        Document("c", "A text without a title. A text with two sentences. A text with three of them."),
    ),
    "en",
)
BASE: dict[str, Any] = {
    "chunker": {"sentence": {"size": 24}},
    "embedder": {"none": {}},
    "retriever": {"lexical": {"top_k": 3, "depth": 10}},
    "reranker": {"none": {}},
    "packer": {"ranked": {}},
    "generator": {"none": {}},
}


def situate(message: str) -> str:
    piece = message.partition("<piece>")[2].partition("</piece>")[0].split()
    return f"Sure:\n\nOf the herons, beginning with {piece[0]}.\nAnd more."


class Writer(ChatModel):
    def __init__(self) -> None:
        super().__init__(lambda text: "Here it is:" if self.mute(text.partition("<piece>")[2]) else situate(text))
        self.fails = self.mute = lambda text: False

    def answer(self, path: str, body: Any) -> Any:
        if self.fails(body["messages"][-1]["content"]):
            return 400, {"error": {"message": "no"}}, {}
        return super().answer(path, body)


@pytest.fixture
def writer() -> Iterator[Writer]:
    with serving(Writer()) as server:
        yield server


def new_builder(folder: Path, url: str = "", model: str = "m") -> PipelineBuilder:
    named = LanguageModel(kind="openai_compatible", base_url=f"{url}/v1", model=model) if url else None
    return PipelineBuilder(CORPUS, Store(folder), embedder_card_library([conf_folder()]), language_model=named)


def with_context(context: dict[str, Any], **changes: Any) -> PipelineSpec:
    return PipelineSpec.from_dict({**BASE, "chunk_context": context, **changes})


def test_a_title_is_searched_with_a_chunk_and_never_quoted(tmp_path: Path) -> None:
    builder = new_builder(tmp_path)
    asked = [Question("q", "the heron society")]
    plain, titled = (builder.pipeline(with_context({kind: {}})) for kind in ("none", "title"))
    assert plain.ask(asked).hits.document[0, 0] == -1, "the chunks alone never name it"
    responses = titled.ask(asked)
    assert responses.hits.document[0, 0] == 0
    for span in responses.contexts[0]:
        assert "Heron" not in CORPUS.documents[0].text[span.start : span.end]
    texts = titled.chunks.texts(CORPUS)
    assert {
        text.startswith("The Heron Society\n\n")
        for text, d in zip(texts, titled.chunks.document, strict=True)
        if d == 0
    } == {True}
    assert all(
        text.startswith("A text without") for text, d in zip(texts, titled.chunks.document, strict=True) if d == 2
    )
    assert (
        titled.chunks.tokens >= plain.chunks.tokens
    ).all() and titled.chunks.tokens.sum() > plain.chunks.tokens.sum()
    assert titled.index_keys != plain.index_keys


def test_a_line_is_written_for_each_chunk_once_documents_first_and_their_first_chunks_before_the_others(
    tmp_path: Path, writer: Writer
) -> None:
    builder, spec = new_builder(tmp_path, writer.url), with_context({"llm": {}})
    before = next(stage for stage in plan(builder, spec, [Question("q", "x")]).missing if stage.name == "context llm")
    pipeline = builder.pipeline(spec)
    texts = pipeline.chunks.texts(CORPUS)
    assert len(writer.seen) == len(texts) and before.missing > 0
    assert all(re.match(r"Of the herons, beginning with \S+\.\n\n", text) for text in texts), "its first line alone"
    assert all("1902" not in body["messages"][0]["content"] for _, body in writer.seen), "material, no rule"
    shown = [body["messages"][1]["content"].partition("</document>")[0] for _, body in writer.seen]
    firsts = [shown.index(one) for one in dict.fromkeys(shown)]
    assert sorted(firsts) == [0, 1, 2], "one chunk of each document, before any is asked about twice"
    again = new_builder(tmp_path, writer.url)
    again.pipeline(spec)
    assert len(writer.seen) == len(texts) and not [s for s in plan(again, spec, []).missing if s.name == "context llm"]
    assert new_builder(tmp_path, writer.url, "another").keys(spec).chunks != builder.keys(spec).chunks
    others = with_context({"title": {}})
    assert new_builder(tmp_path, writer.url, "another").keys(others).chunks == builder.keys(others).chunks


def test_a_few_missing_lines_are_said_and_many_are_no_pipeline(tmp_path: Path, writer: Writer) -> None:
    spec = with_context({"llm": {}}, chunker={"sentence": {"size": 12}})
    writer.mute = lambda piece: "founded in 1902" in piece
    builder = new_builder(tmp_path / "few", writer.url)
    count = len(builder.pipeline(spec).chunks)
    assert builder.take_remarks() == [f"chunk_context llm: 1 of {count} chunks have no line before them"]
    writer.mute = lambda piece: "In year" in piece
    with pytest.raises(
        ServerFailed, match=rf"chunk_context llm: \d+ of {count} chunks have no line, since the replies"
    ):
        new_builder(tmp_path / "many", writer.url).pipeline(spec)
    writer.mute, writer.fails = lambda piece: False, lambda text: "founded in 1902" in text.partition("<piece>")[2]
    with pytest.raises(ServerFailed, match="refuses the request: 400: no"):
        new_builder(tmp_path / "failed", writer.url).pipeline(spec)
    assert not new_builder(tmp_path / "failed", writer.url).store.has("chunks", builder.keys(spec).chunks), (
        "a failure that may pass decides nothing that is stored"
    )


def test_a_title_is_left_out_only_where_the_chunk_begins_with_it_as_words(tmp_path: Path) -> None:
    documents = (Document("a", "Beekeeping is old.", title="Bee"), Document("b", "Bee: a short text.", title="Bee"))
    builder = PipelineBuilder(Corpus(documents, "en"), Store(tmp_path), embedder_card_library([conf_folder()]))
    texts = builder.pipeline(with_context({"title": {}})).chunks.texts(builder.corpus)
    assert texts == ["Bee\n\nBeekeeping is old.", "Bee: a short text."]


def test_what_closes_the_material_is_taken_out_of_it() -> None:
    document = Document("d", "one </document> two <piece> three", title="T")
    request = WrittenChunkContext().request(document, 0, len(document.text))
    assert request.messages[1]["content"].count("</document>") == 1
    assert request.messages[1]["content"].count("<piece>") == 1


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImpossiblePipeline, match="chunk_context llm needs a language model"):
        new_builder(tmp_path).check(with_context({"llm": {}}))
    vectors = {"embedder": {"model": {"name": "minilm"}}, "retriever": {"dense": {"top_k": 3, "depth": 10}}}
    long = {"chunker": {"recursive": {"size": 240}}}
    new_builder(tmp_path).check(with_context({"none": {}}, **vectors, **long))
    with pytest.raises(ImpossiblePipeline, match="chunks of 240 tokens and 24 before them are longer than minilm"):
        new_builder(tmp_path).check(with_context({"title": {}}, **vectors, **long))
    late = vectors | {"embedder": {"late": {"name": "minilm"}}}
    with pytest.raises(ImpossiblePipeline, match="reads documents as they are"):
        new_builder(tmp_path).check(with_context({"title": {}}, **late))


def _beginning(request: Request) -> str:
    return request.messages[1]["content"][: request.shared_characters]


def test_of_a_long_document_the_part_around_the_chunk_is_shown() -> None:
    document = Document("d", "".join(f"sentence {number:05}. " for number in range(2000)), title="Long")
    part = WrittenChunkContext(document_characters=4000)
    shown = [_beginning(part.request(document, start, start + 90)) for start in range(0, 30_000, 500)]
    for start, text in zip(range(0, 30_000, 500), shown, strict=True):
        assert document.text[start : start + 90] in text and len(text) < 4500
    assert len(set(shown)) < len(shown) / 3, "chunks beside one another have the same beginning"


def test_a_forecast_tells_contexts_apart(tmp_path: Path, writer: Writer) -> None:
    builder = new_builder(tmp_path, writer.url)
    tree = {"chunk_context": {"none": {}, "title": {}, "llm": {}}, "chunker": {"sentence": {"size": [24, 250]}}}
    space = Space.from_dict(tree, rest=BASE, only={})
    forecaster = CostForecaster(builder, space, [Question("q", "x")], with_context({"none": {}}))
    forecast = forecaster.cost_forecast([], spent=0.0, paid="study")
    specs = [with_context({kind: {}}).to_dict() for kind in ("none", "title", "llm")]
    none, title, llm = forecast.seconds(specs).tolist()
    assert none < llm and title < llm and forecast.seconds(specs[::-1]).tolist() == [llm, title, none]
    vectors = {"embedder": {"model": {"name": "minilm"}}, "retriever": {"dense": {"top_k": 3, "depth": 10}}}
    long = [
        with_context({kind: {}}, chunker={"recursive": {"size": 250}}, **vectors).to_dict() for kind in ("llm", "none")
    ]
    assert [bool(np.isfinite(one)) for one in forecast.seconds(long)] == [False, True]
