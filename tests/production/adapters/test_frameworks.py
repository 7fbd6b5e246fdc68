"""A bundle as a retriever of the real LangChain, LlamaIndex and Haystack, and their documents as a corpus."""

from __future__ import annotations

import asyncio
from pathlib import Path

import haystack
import langchain_core.documents
import llama_index.core.schema
import numpy as np
import pytest
from langchain_core.runnables import RunnableLambda

import rag_opt
from rag_opt.core.errors import BadInput
from rag_opt.production.adapters.framework_documents import to_lines
from rag_opt.production.bundle import Bundle
from tests.conftest import ASKED, TEXTS

Found = list[tuple[str, str, int, int, float]]


def of_rag_opt(bundle: Bundle, question: str, filters: dict[str, object]) -> Found:
    return [(p.text, p.document, p.start, p.end, p.score) for p in bundle.retrieve(question, filters=filters)]


def as_found(text: str, metadata: dict[str, object]) -> tuple[str, str, int, int, float]:
    return text, *(metadata[name] for name in ("document", "start", "end", "score"))  # type: ignore[return-value]  # metadata are objects


@pytest.mark.parametrize("filters", [{}, {"name": "bees.md"}])
def test_the_same_passages_in_the_same_order_with_metadata_and_scores(
    bundle: Bundle, filters: dict[str, object]
) -> None:
    langchain = bundle.as_langchain_retriever(filters=filters)
    llama_index = bundle.as_llama_index_retriever(filters=filters)
    pipeline = haystack.Pipeline()
    pipeline.add_component("retriever", bundle.as_haystack_component(filters=filters))
    for one in bundle.questions:
        question = one.line.question
        expected = of_rag_opt(bundle, question, filters)
        documents = langchain.invoke(question)
        assert [as_found(d.page_content, d.metadata) for d in documents] == expected
        assert all(d.metadata["name"] == d.metadata["document"] for d in documents), "the document's own metadata"
        nodes = llama_index.retrieve(question)
        assert [as_found(n.node.text, n.node.metadata) for n in nodes] == expected  # type: ignore[attr-defined]  # text nodes
        assert [n.score for n in nodes] == [score for *_, score in expected]
        found = pipeline.run({"retriever": {"query": question}})["retriever"]["documents"]
        assert [as_found(d.content, d.meta) for d in found] == expected
        assert [d.score for d in found] == [score for *_, score in expected]


def test_they_work_inside_their_frameworks(bundle: Bundle) -> None:
    chain = bundle.as_langchain_retriever() | RunnableLambda(len)
    assert chain.invoke("What makes dough rise?") == 2 == asyncio.run(chain.ainvoke("What makes dough rise?"))
    nodes = asyncio.run(bundle.as_llama_index_retriever().aretrieve("What makes dough rise?"))
    assert nodes[0].node.metadata["document"] == "bread.md"
    component = bundle.as_haystack_component()
    limited = component.run(query="What makes dough rise?", filters={"name": {"in": ["bees.md"]}})["documents"]
    assert {document.meta["name"] for document in limited} == {"bees.md"}
    with pytest.raises(BadInput, match="no document has 'nam'"):
        component.run(query="What?", filters={"nam": 1})


def test_it_is_awaited_without_holding_up_the_loop(bundle: Bundle) -> None:
    async def ask() -> list[str]:
        first, several = await asyncio.gather(
            bundle.aask("What makes dough rise?"), bundle.aask_many(["Why do meanders form?"])
        )
        return [first.answer, several[0].answer]

    assert asyncio.run(ask()) == [
        bundle.ask("What makes dough rise?").answer,
        bundle.ask("Why do meanders form?").answer,
    ]


def test_an_answer_without_a_language_model_is_streamed_in_one_piece(bundle: Bundle) -> None:
    async def pieces() -> list[object]:
        return [piece async for piece in bundle.astream("What makes dough rise?")]

    reply = bundle.ask("What makes dough rise?")
    for piece, whole in (asyncio.run(pieces()), list(bundle.stream("What makes dough rise?"))):
        assert piece == reply.answer == whole.answer and whole.hits == reply.hits  # type: ignore[attr-defined]  # a Reply


def test_documents_of_frameworks_become_documents() -> None:
    given = [
        langchain_core.documents.Document(page_content="One.", metadata={"source": "a.pdf", "page": 1, "list": [1]}),
        langchain_core.documents.Document(page_content="Two.", metadata={"source": "a.pdf", "page": 2}),
        llama_index.core.schema.Document(text="Three.", id_="third", metadata={"lang": "en"}),
        haystack.Document(id="fourth", content="Four.", meta={"draft": True}),
        rag_opt.Document("fifth", "Five.", metadata={"n": 1}),
        "Six.",
    ]
    lines = to_lines(given)
    assert [line["id"] for line in lines] == ["a.pdf#1", "a.pdf#2", "third", "fourth", "fifth", "document-5"]
    assert [line["text"] for line in lines] == ["One.", "Two.", "Three.", "Four.", "Five.", "Six."]
    assert lines[0]["metadata"] == {"source": "a.pdf", "page": 1} and lines[3]["metadata"]["draft"] is True
    loader = langchain_core.documents.Document(
        page_content="Seven.", metadata={"source": "f", "score": np.float64(0.5), "n": np.int64(3), "huge": 2**70}
    )
    lines = to_lines([loader, loader, "x", rag_opt.Document("f#1", "Eight.", title="Eight")])
    assert [line["id"] for line in lines] == ["f#2", "f#3", "document-2", "f#1"] and lines[3]["title"] == "Eight"
    assert lines[0]["metadata"] == {"source": "f", "score": 0.5, "n": 3}
    with pytest.raises(BadInput, match=r"documents\[0\]: cannot be written"):
        to_lines(["half a \ud800"])
    with pytest.raises(BadInput, match=r"documents\[1\]: is int"):
        to_lines(["x", 3])


def test_a_search_takes_documents_of_a_framework(tmp_path: Path) -> None:
    documents = [
        langchain_core.documents.Document(page_content=text, metadata={"source": name}) for name, text in TEXTS.items()
    ]
    questions: list[dict[str, object]] = [
        {"id": name, "question": text, "answer": answer, "evidence": [quote]}
        for name, text, answer, document, quote in ASKED
        if document is not None
    ]
    asked = ["study.name=given", "study.trials=1", "tracking=none", "runtime=torch", f"outputs={tmp_path}"]
    asked += ["only.embedder=[model]", "sampler.sweep=off", "study.finalists=1"]
    study = rag_opt.run_search(asked, documents=documents, questions=questions, quiet=True)
    assert study.trials[0].state == "COMPLETE" and len(list((tmp_path / ".given").iterdir())) == 2
    with pytest.raises(BadInput, match="questions: is missing"):
        rag_opt.run_search(asked, documents=documents)
