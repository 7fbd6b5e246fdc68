"""A tiny corpus with questions, used by every test that needs a whole pipeline; everything in it is real."""

from __future__ import annotations

import os

os.environ.update(HF_HUB_OFFLINE="1", RAGAS_DO_NOT_TRACK="true", TOKENIZERS_PARALLELISM="false")
if "PYTEST_XDIST_WORKER" in os.environ:  # two workers on two cores: one thread each, also in what they start
    os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from rag_opt.cli.composing import conf_folder
from rag_opt.core.documents import Corpus, Document, Span
from rag_opt.core.questions import Dataset, Question
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store
from tests.cli.fork_server import launch

load_built_in(["objectives"])

TEXTS = {
    "bees.md": (
        "# Bees\n\nHoney bees dance to tell where nectar is. The waggle dance points to the flowers.\n\n"
        "A queen bee can lay two thousand eggs in a single day. Worker bees live about six weeks in summer."
    ),
    "rivers.md": (
        "# Rivers\n\nThe Danube flows through ten countries. It ends in the Black Sea.\n\n"
        "Meanders form because water erodes the outer bank. Silt settles on the inner bank."
    ),
    "bread.md": (
        "# Bread\n\nYeast makes dough rise by giving off carbon dioxide. Salt slows the yeast down.\n\n"
        "A hot oven gives the crust its colour. Steam keeps the crust soft for the first minutes."
    ),
    "chess.md": (
        "# Chess\n\nCastling moves the king two squares towards a rook. It is not allowed while in check.\n\n"
        "A pawn that reaches the last rank becomes another piece. Stalemate is a draw."
    ),
}
ASKED = [
    ("bees-1", "How do honey bees tell others where nectar is?", "By dancing.", "bees.md", "Honey bees dance to tell where nectar is."),
    ("bees-2", "How many eggs can a queen bee lay in a day?", "About two thousand.", "bees.md", "A queen bee can lay two thousand eggs in a single day."),
    ("rivers-1", "Into which sea does the Danube flow?", "Into the Black Sea.", "rivers.md", "It ends in the Black Sea."),
    ("rivers-2", "Why do meanders form?", "Water erodes the outer bank.", "rivers.md", "Meanders form because water erodes the outer bank."),
    ("bread-1", "What makes dough rise?", "Yeast, by giving off carbon dioxide.", "bread.md", "Yeast makes dough rise by giving off carbon dioxide."),
    ("bread-2", "What does salt do to yeast?", "It slows it down.", "bread.md", "Salt slows the yeast down."),
    ("chess-1", "May a player castle while in check?", "No.", "chess.md", "It is not allowed while in check."),
    ("chess-2", "What happens to a pawn on the last rank?", "It becomes another piece.", "chess.md", "A pawn that reaches the last rank becomes another piece."),
    ("none-1", "What is the capital of Australia?", None, None, None),
    ("none-2", "How is steel made from iron ore?", None, None, None),
]  # fmt: skip


_LONGEST = ("test_models.py", "test_search.py", "test_questions.py", "test_cost_aware_search.py", "test_stopping.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fast ones first: what starts processes comes last, of it the longest files first, so that no worker waits long."""

    def place(item: pytest.Item) -> tuple[bool, int]:
        starts_processes = "cli" in item.path.parts
        is_long = starts_processes and item.path.name in _LONGEST
        return starts_processes, _LONGEST.index(item.path.name) if is_long else len(_LONGEST)

    items.sort(key=place)


def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of all test workers: each has its own in it."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session", autouse=True)
def early_fork_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Start what commands are forked from while other tests run: it imports for 20 seconds."""
    if any("cli" in item.path.parts for item in request.session.items):
        launch(shared_folder(tmp_path_factory))


def tiny_dataset() -> Dataset:
    corpus = Corpus(tuple(Document(name, TEXTS[name], metadata={"name": name}) for name in sorted(TEXTS)))
    questions = []
    for name, text, answer, document, quote in ASKED:
        if document is None or quote is None:
            questions.append(Question(name, text, answerable=False))
            continue
        start = TEXTS[document].index(quote)
        need = (Span(document, start, start + len(quote)),)
        questions.append(Question(name, text, answer, (need,)))
    return Dataset("tiny", corpus, tuple(questions))


@pytest.fixture(scope="session")
def dataset() -> Dataset:
    return tiny_dataset()


@pytest.fixture(scope="session")
def cards() -> EmbedderCards:
    return embedder_card_library([conf_folder()])


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store(tmp_path_factory.mktemp("store"))
    yield store
    store.close()


@pytest.fixture(scope="session")
def builder(dataset: Dataset, store: Store, cards: EmbedderCards) -> Iterator[PipelineBuilder]:
    builder = PipelineBuilder(dataset.corpus, store, cards)
    yield builder
    builder.close()


@pytest.fixture(scope="session")
def default_pipeline() -> dict[str, object]:
    return {
        "chunker": {"recursive": {"size": 32}},
        "embedder": {"model": {"name": "minilm"}},
        "retriever": {"rrf": {"top_k": 2, "depth": 10}},
        "reranker": {"none": {}},
        "packer": {"ranked": {"context_tokens": 200}},
        "generator": {"extractive": {"sentences": 1, "refuse_below": 0.4}},
    }


@pytest.fixture(scope="session")
def spec(default_pipeline: dict[str, object]) -> PipelineSpec:
    return PipelineSpec.from_dict(default_pipeline)


def write_tiny(folder: Path) -> list[str]:
    """The tiny data set as files, and the overrides that make a search read it."""
    documents = folder / "docs"
    documents.mkdir(parents=True)
    for name, text in TEXTS.items():
        (documents / name).write_text(text, encoding="utf-8")
    lines = []
    for name, text, answer, document, quote in ASKED:
        line: dict[str, object] = {"id": name, "question": text}
        if quote is None:
            line["answerable"] = False
        else:
            line |= {"answer": answer, "evidence": [{"document": document, "quote": quote}]}
        lines.append(orjson.dumps(line))
    (folder / "questions.jsonl").write_bytes(b"\n".join(lines))
    return tiny_overrides(folder)


def tiny_overrides(folder: Path) -> list[str]:
    return [
        "dataset=folder",
        f"dataset.documents={folder / 'docs'}",
        f"dataset.questions={folder / 'questions.jsonl'}",
    ]


@pytest.fixture
def tiny_files(tmp_path: Path) -> list[str]:
    return write_tiny(tmp_path / "data")
