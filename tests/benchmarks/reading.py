"""Readers on files of known content; many files read again; a search over two readers; ways to cut."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import orjson
from reportlab.lib.pagesizes import A4
from reportlab.pdfgen import canvas

from rag_opt.cli.composing import conf_folder
from rag_opt.core.digests import versions
from rag_opt.core.readings import Reading
from rag_opt.core.registry import kinds, lookup
from rag_opt.data.datasets.csv_spans import CsvSpans
from rag_opt.data.file_readers import FileReader
from rag_opt.data.language import set_language
from rag_opt.evaluation.intervals import paired_gain
from rag_opt.metrics.evidence import score_evidence_recall
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.setup.builtins import load_built_in
from rag_opt.store.artifacts import Store
from tests.documents.content import Labelled, paragraphs, sentences
from tests.documents.labelled import Kept, measure, write_all
from tests.documents.pdfs import columns_row_by_row, columns_with_title, one_column, ruled_table, scan

_FILES, _PAGES = 1000, 5
_CHUNKING = Path(__file__).parents[3] / "shared" / "data" / "chunking_evaluation"
_SIZE, _CONTEXT = 224, 1500  # tokens of a chunk, of a context
Row = tuple[str, str, str]


def compare_readers() -> list[Row]:
    """Measure every reader on the labelled files that it reads."""
    load_built_in()
    with tempfile.TemporaryDirectory() as folder:
        labelled = write_all(Path(folder))
        installed = [kind for kind in kinds("reader") if all(versions(*lookup("reader", kind)().libraries).values())]
        return [row for kind in installed for row in _rows_of(kind, labelled, Path(folder))]


def _rows_of(kind: str, labelled: Sequence[Labelled], folder: Path) -> Iterator[Row]:
    reader = lookup("reader", kind)()
    groups = {
        "PDFs": [one for one in labelled if one.name.endswith(".pdf") and not one.is_scan],
        "scans": [one for one in labelled if one.is_scan],
        "other files": [one for one in labelled if not one.name.endswith(".pdf")],
    }
    for group, files in groups.items():
        own = [one for one in files if kind == "builtin" or Path(one.name).suffix in reader.suffixes]
        if not own or (kind == "ocr" and group == "other files"):
            continue
        started = time.perf_counter()
        readings = list(FileReader(None if kind == "builtin" else reader).read_all([folder / one.name for one in own]))
        seconds = time.perf_counter() - started
        kept = [
            measure(one, reading.text if isinstance(reading, Reading) else "")
            for one, reading in zip(own, readings, strict=True)
        ]
        failed = sum(not isinstance(reading, Reading) for reading in readings)
        yield f"{kind}: {len(own)} {group}", _describe(kept), f"{seconds:.1f} s, {failed} failed"


def _describe(kept: Sequence[Kept]) -> str:
    cells = [one.cells for one in kept if one.cells is not None]
    shown = f"{mean(cells):.3f}" if cells else "–"
    return f"words {mean(one.words for one in kept):.3f}, order {mean(one.order for one in kept):.3f}, cells {shown}"


def read_again() -> list[Row]:
    """Measure how long a thousand files of five pages take, first and again."""
    load_built_in()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "docs"
        folder.mkdir()
        _write_many(folder)
        store = Store(Path(place) / "store")
        took = []
        for _ in range(2):
            files = FileReader(values=lambda: store.values)
            started = time.perf_counter()
            read = sum(isinstance(one, Reading) for one in files.read_all(sorted(folder.iterdir())))
            took.append(time.perf_counter() - started)
        store.close()
    first, again = took
    return [(f"{read} PDFs of {_PAGES} pages read, then read again", f"{first:.1f} s, then {again:.2f} s", "2 s again")]


def _write_many(folder: Path) -> None:
    text = sentences(1, 200)
    for number in range(_FILES):
        page = canvas.Canvas(str(folder / f"{number:04}.pdf"), pagesize=A4)
        for sheet in range(_PAGES):
            page.setFont("Helvetica", 10)
            page.drawString(60, 800, f"File {number} sheet {sheet}")
            for line in range(40):
                page.drawString(60, 780 - 14 * line, text[(number * 7 + sheet * 40 + line) % len(text)])
            page.showPage()
        page.save()


def search_over_readers() -> list[Row]:
    """Search over two readers and two chunkers on forty PDFs, with columns, tables and scans among them."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _write_forty(folder)
        arguments = [
            "dataset=folder", "dataset.documents=docs", "dataset.questions=questions.jsonl", "dataset.language=en",
            "space.reader={builtin: {}, ocr: {}}", "only.chunker=[recursive, sentence]", "study.trials=16",
            "study.name=readers", "tracking=none", "objective=evidence_recall",
        ]  # fmt: skip
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "rag_opt.search", *arguments]
        started = time.perf_counter()
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            return [("search over two readers", done.stderr[-400:], "")]
        kept = [line.strip() for line in done.stdout.splitlines() if "needs of evidence" in line]
        result = orjson.loads((folder / "outputs" / "readers" / "result.json").read_bytes())
        winner = next(iter(result["spec"]["reader"]))
        return [
            (
                "search over builtin and ocr, 40 PDFs, 8 of them scans",
                f"winner reads by {winner}",
                f"{seconds:.0f} s",
            ),
            *(("  shown before trial 0", line, "") for line in kept),
        ]


def _write_forty(folder: Path) -> None:
    (folder / "docs").mkdir()
    makers = (one_column, columns_row_by_row, columns_with_title, ruled_table, scan)
    lines = []
    for number in range(40):
        maker = makers[number % len(makers)]
        path = folder / "docs" / f"{maker.__name__}_{number:02}.pdf"
        if maker in (columns_row_by_row, columns_with_title, scan):
            labelled = maker(path, seed=100 + number)
        else:
            labelled = _own_page(path, number) if maker is one_column else _own_table(path, number)
        for quote in _quotes(labelled, number):
            asked = " ".join(quote.split(",")[0].split()[1:])
            lines.append(
                {"question": f"What is said of the {asked}?", "evidence": [{"quote": quote, "document": path.name}]}
            )
    (folder / "questions.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))


def _own_page(path: Path, number: int) -> Labelled:
    text = " ".join(paragraphs(200 + number, 3))
    page = canvas.Canvas(str(path), pagesize=A4)
    for line in range(0, len(text.split()), 12):
        page.drawString(60, 780 - line * 1.2, " ".join(text.split()[line : line + 12]))
    page.save()
    return Labelled(path.name, text)


def _own_table(path: Path, number: int) -> Labelled:
    from reportlab.lib import colors
    from reportlab.platypus import SimpleDocTemplate, Table, TableStyle

    rows = [["No.", "Entry"], *([str(n), text] for n, text in enumerate(sentences(300 + number, 10), start=1))]
    grid = Table(rows)
    grid.setStyle(TableStyle([("GRID", (0, 0), (-1, -1), 0.5, colors.black), ("FONTSIZE", (0, 0), (-1, -1), 7)]))
    SimpleDocTemplate(str(path), pagesize=A4).build([grid])
    return Labelled(path.name, " ".join(row[1] for row in rows[1:]))


def _quotes(labelled: Labelled, number: int) -> list[str]:
    found = [f"{one}." for one in labelled.words.split(". ") if one.startswith("The ")]
    return [found[number % len(found)].replace("..", "."), found[(number + 2) % len(found)].replace("..", ".")]


def compare_chunkers() -> list[Row]:
    """Compare ways to cut on five corpora, at one budget of context, question by question."""
    if not _CHUNKING.is_dir():
        return [("ways to cut", "their data are not here", "")]
    load_built_in()
    given = CsvSpans(documents=str(_CHUNKING / "corpora"), questions=str(_CHUNKING / "questions.csv"))
    dataset = set_language(given.read(), "en")
    chunkers: dict[str, dict[str, dict[str, object]]] = {
        "recursive": {"recursive": {"size": _SIZE}}, "paragraphs": {"paragraphs": {"size": _SIZE}},
        "sentence": {"sentence": {"size": _SIZE}}, "markdown": {"markdown": {"size": _SIZE}},
        "fixed": {"fixed": {"size": _SIZE, "overlap": 0.2}}, "cluster": {"cluster": {"size": _SIZE}},
        "semantic": {"semantic": {"size": _SIZE}},
    }  # fmt: skip
    recalls = {}
    with tempfile.TemporaryDirectory() as place:
        builder = PipelineBuilder(dataset.corpus, Store(Path(place)), embedder_card_library([conf_folder()]))
        for name, chunker in chunkers.items():
            spec = PipelineSpec.from_dict({
                "chunker": chunker, "embedder": {"model": {"name": "minilm"}}, "reranker": {"none": {}},
                "retriever": {"rrf": {"top_k": 50, "depth": 50}}, "packer": {"ranked": {"context_tokens": _CONTEXT}},
                "generator": {"none": {}},
            })  # fmt: skip
            hits = builder.pipeline(spec).retrieve(dataset.questions).hits
            recalls[name] = score_evidence_recall(hits, dataset.questions, dataset.corpus)
    corpora = np.array([next(iter(question.document_ids)) for question in dataset.questions])
    return [row for name, recall in recalls.items() for row in [_compared(name, recall, recalls["recursive"], corpora)]]


def _compared(name: str, recall: np.ndarray, against: np.ndarray, corpora: np.ndarray) -> Row:
    by_corpus = ", ".join(f"{recall[corpora == one].mean():.3f}" for one in sorted(set(corpora)))
    units = [f"question {number}" for number in range(len(recall))]
    gain = paired_gain(recall, against, units)
    difference = f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]" if name != "recursive" else "–"
    return f"{name}({_SIZE}): evidence recall in {_CONTEXT} tokens", f"{recall.mean():.3f} ({by_corpus})", difference
