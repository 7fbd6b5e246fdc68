"""Bundles pushed into the real stores: the same passages, filters of one meaning, nothing lost or twice."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import rag_opt
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.errors import BadBundle, BadInput, ServerFailed
from rag_opt.core.questions import Question
from rag_opt.models.embedder_cards import EmbedderCards
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.vector_stores.addresses import open_store, read_address
from rag_opt.production.vector_stores.interfaces import CollectionShape
from rag_opt.production.vector_stores.pushing import push_bundle
from rag_opt.store.artifacts import Store
from tests.production.bundles import write_asked
from tests.production.service.conftest import serve
from tests.production.stores import KINDS, store

# metadata of every type, of several types under one name, none at all, and names that have to be quoted
METADATA: list[dict[str, object]] = [
    {"year": 2020, "share": 0.5, "draft": True, "lang": "de", "a name": "it's", "several": 1, "a-b.c": "x", "größe": 2},
    {"year": 2021, "share": 1.0, "draft": False, "lang": "en", "a name": 'say "so"', "several": "1"},
    {"year": 2022, "lang": "en-GB", "several": True, "tags": ["a", "b"], "note": None, "odd$name": 1},
    {"rag_opt_start": 1},
]
FILTERS: list[dict[str, object]] = [
    {"year": 2021},
    {"year": 2021.0},
    {"year": "2021"},
    {"share": 1},
    {"share": True},
    {"draft": True},
    {"draft": 1},
    {"draft": False},
    {"lang": "en"},
    {"a name": "it's"},
    {"a name": 'say "so"'},
    {"several": 1},
    {"several": True},
    {"year": {"in": [2020, 2022]}},
    {"lang": {"in": ["de", 2020, True]}},
    {"year": {"gte": 2021}},
    {"year": {"gt": 2020, "lte": 2022.0}},
    {"year": {"gte": "2021"}},
    {"draft": {"gte": 0}},
    {"lang": {"gte": "en", "lt": "eo"}},
    {"lang": {"absent": True}},
    {"note": {"absent": True}},
    {"tags": {"absent": True}},
    {"year": {"gte": 2021}, "lang": "en"},
    {"year": 1900},
    {"year": 2020.5},
    {"year": {"in": [2019.9, 2021.5]}},
    {"year": {"gte": 2020.5}},
    {"year": {"lt": 2020.5}},
    {"share": {"lte": 0.75}},
    {"größe": {"gt": -1.5}},
    {"a-b.c": "x"},
    {"lang": "d\0e"},
    {"year": 2**53 + 1},
    {"odd$name": 1},
    {"rag_opt_start": 1},
]
# what a store says of itself that it cannot compare; all else means the same everywhere
REFUSED = {
    "chroma": ["ranges of numbers, not of texts"],
    "qdrant": ["ranges of numbers, not of texts"],
    "pgvector": [],
    "milvus": [],
    "lancedb": ["of several types", "cannot name it"],
}
EVERYWHERE = ["a list or an object", "is a name, or a value"]
PUSH = """
import os, sys
from rag_opt.production.vector_stores.interfaces import CollectionShape
from rag_opt.production.vector_stores.pushing import push_bundle
push_bundle(sys.argv[1], sys.argv[2], at_once=16, progress=lambda done, count: os.kill(os.getpid(), 9))
"""


@pytest.fixture(scope="module")
def pushed_folder(
    cards: EmbedderCards, default_pipeline: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A bundle of 60 documents, a third of them of one text: their vectors are equal."""
    texts = [
        f"Pump {i} runs at {i * 7} bar and is made of steel." if i % 3 else "All pumps are safe." for i in range(60)
    ]
    documents = [Document(f"d{i}", text, metadata=METADATA[i % 4]) for i, text in enumerate(texts)]
    folder, made = tmp_path_factory.mktemp("pushed"), Store(tmp_path_factory.mktemp("store_of_pushed"))
    builder = PipelineBuilder(Corpus(tuple(documents)), made, cards)
    retriever = {"rrf": {"top_k": 5, "depth": 12}}
    spec = PipelineSpec.from_dict({**default_pipeline, "retriever": retriever})
    questions = [Question(f"q{i}", text) for i, text in enumerate(["Which pumps are safe?", "Which runs at 70 bar?"])]
    questions.append(Question("q2", "Which runs at 7 bar?", filters={"tags": {"absent": True}}))  # no store can ask it
    write_asked(folder / "bundle", builder, spec, questions)
    builder.close()
    yield folder / "bundle"
    made.close()


@pytest.fixture(scope="module", params=KINDS)
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with store(request.param, tmp_path_factory.mktemp(request.param)) as started:
        yield started


def kind_of(address: str) -> str:
    return address.partition("=")[0]


def passages(bundle: Bundle, filters: dict[str, object]) -> list[tuple[str, int]]:
    return [(hit.document, hit.start) for hit in bundle.retrieve("Which pump runs at 70 bar?", filters=filters)]


def test_a_killed_push_goes_on_and_filters_mean_the_same(pushed_folder: Path, address: str) -> None:
    killed = subprocess.run([sys.executable, "-c", PUSH, str(pushed_folder), address], capture_output=True, check=False)
    assert killed.returncode == -9, killed.stderr.decode()[-2000:]
    with pytest.raises(BadBundle, match="there is no such collection"):
        rag_opt.load(pushed_folder, collection=f"{address}#other")
    with pytest.raises(BadBundle, match="holds 16 of 60 chunks"):
        rag_opt.load(pushed_folder, collection=address)
    first = push_bundle(pushed_folder, address, at_once=16, every=True)
    assert (first.written, first.chunks) == (44, 60) and first.same == first.asked == 2
    assert (first.recall is None) == (kind_of(address) != "chroma")
    again = push_bundle(pushed_folder, address)
    assert again.written == 0 and again.before == first.collection and again.older == ()
    own, theirs = rag_opt.load(pushed_folder), rag_opt.load(pushed_folder, collection=address)
    refused = set()
    for filters in [{}, *FILTERS]:
        try:
            found = passages(theirs, filters)
        except BadInput as error:
            refused.add(error.problems[0].what)
            continue
        assert found == passages(own, filters), filters
    expected = [*REFUSED[kind_of(address)], *EVERYWHERE]
    assert len(refused) == len(expected), refused
    assert all(any(said in what for what in refused) for said in expected)
    theirs.collection.close()  # type: ignore[union-attr]  # it has one


def test_equal_vectors_come_in_their_order_and_excluded_documents_never(pushed_folder: Path, address: str) -> None:
    push_bundle(pushed_folder, address)
    own, theirs = rag_opt.load(pushed_folder), rag_opt.load(pushed_folder, collection=address)
    asked = [Question("", "All pumps are safe.", exclude=("d0", "d3")), Question("", "All pumps are safe.")]
    lists = [[pipeline.lists([one])["dense"] for one in asked] for pipeline in (own.pipeline, theirs.pipeline)]
    for mine, stored in zip(*lists, strict=True):
        assert stored.chunks.tolist() == mine.chunks.tolist()
        np.testing.assert_allclose(stored.scores, mine.scores, atol=1e-5)
    assert {0, 3}.isdisjoint(lists[1][0].chunks[0].tolist())
    chunks = np.array([5, 0, 5], np.int32)
    index = theirs.collection
    assert index is not None and np.allclose(index.vectors(chunks), own.pipeline.open_index("dense").vectors(chunks))  # type: ignore[union-attr]  # of vectors
    index.close()


def test_another_bundle_stands_beside_the_first(
    pushed_folder: Path, address: str, tmp_path: Path, builder: PipelineBuilder, spec: PipelineSpec
) -> None:
    first = push_bundle(pushed_folder, f"{address}#shared")
    write_asked(tmp_path / "other", builder, spec, [Question("q", "What makes dough rise?")])
    with pytest.raises(BadBundle, match=f"{first.collection} was filled from another bundle"):
        rag_opt.load(tmp_path / "other", collection=f"{address}#shared")
    second = push_bundle(tmp_path / "other", f"{address}#shared")
    assert second.before == first.collection and second.older == (first.collection,)
    opened = open_store(read_address(address, where=""))
    assert opened.target("shared") == second.collection and {first.collection, second.collection} <= opened.names()
    opened.close()
    still = rag_opt.load(pushed_folder, collection=f"{address}#shared")  # what a running service goes on with
    assert passages(still, {}) == passages(rag_opt.load(pushed_folder), {})
    assert still.collection is not None
    still.collection.close()


def test_what_is_not_ours_is_left_alone(pushed_folder: Path, address: str) -> None:
    """A push takes no name that somebody uses, and removes no collection that only looks like an older one."""
    theirs = push_bundle(pushed_folder, f"{address}#theirs").collection  # stands for what somebody else may have
    opened = open_store(read_address(address, where=""))
    opened.switch("mine", theirs)
    opened.create("theirs__users", CollectionShape(3, {}))
    opened.close()
    with pytest.raises(BadInput, match="was not made by a push"):
        push_bundle(pushed_folder, f"{address}#mine")
    opened = open_store(read_address(address, where=""))
    opened.create("handbook", CollectionShape(3, {}))
    opened.close()
    with pytest.raises(BadInput, match="was not made by a push"):
        push_bundle(pushed_folder, f"{address}#handbook")
    again = push_bundle(pushed_folder, f"{address}#theirs", drop_older=True)
    opened = open_store(read_address(address, where=""))
    assert "theirs__users" in opened.names() and again.older == ()
    opened.close()


def test_a_service_answers_from_a_collection_and_says_when_its_store_is_gone(
    pushed_folder: Path, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as started:
        address = started.enter_context(store("chroma", tmp_path))
        push_bundle(pushed_folder, address)
        with serve(rag_opt.load(pushed_folder, collection=address)) as client:
            found = client.post("/retrieve", json={"question": "Which pumps are safe?", "filters": {"year": 2021}})
            assert found.status_code == 200 and found.json()["passages"][0]["document"] == "d9"
            refused = client.post("/retrieve", json={"question": "Which?", "filters": {"lang": {"gt": "a"}}})
            assert refused.status_code == 422 and "ranges of numbers" in refused.text
            started.close()
            down = client.post("/retrieve", json={"question": "Which pumps are new?"})
            assert down.status_code == 502 and "chroma" not in down.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("qdrnt=http://x", "did you mean 'qdrant'"),
        ("http://x", "Each has one of these forms"),
        ("qdrant=", "Each has one of these forms"),
        ("lancedb=x#A-b", "cannot name a collection"),
        ("lancedb=x#a__b", "cannot name a collection"),
        ("pgvector=host=h password=hunter2", "begins with postgresql://"),
        ("qdrant=http://[bad", "the address of qdrant cannot be read"),
    ],
)
def test_an_address_that_is_none_is_refused(given: str, said: str, pushed_folder: Path) -> None:
    with pytest.raises(BadInput, match=said):
        push_bundle(pushed_folder, given)


def test_a_store_that_does_not_answer_is_named_without_its_password(pushed_folder: Path) -> None:
    with pytest.raises(ServerFailed, match=r"pgvector=postgresql://127\.0\.0\.1:1/x#rag_opt: ") as raised:
        push_bundle(pushed_folder, "pgvector=postgresql://me:hunter2/secret@127.0.0.1:1/x?password=hunter3secret")
    assert "hunter" not in str(raised.value) and raised.value.__cause__ is None
