"""A bundle over 10,000 documents of which 100 change: what is embedded again, against a full export."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path

import orjson

import rag_opt
from rag_opt.core.documents import Corpus, Document
from rag_opt.core.questions import Question
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.updating import prepare_update
from rag_opt.setup.builtins import load_built_in
from tests.benchmarks.served_bundle import DATA, default_spec, new_builder, scifact
from tests.production.bundles import seen_by_search

Row = tuple[str, str, str]
_DOCUMENTS, _CHANGED, _ASKED = 10_000, 100, 300


def measure() -> list[Row]:
    """Return the share of tokens that an update embeds, and how many lists differ from those of a full export."""
    if not DATA.is_dir():
        return [("update", "its data are not here", "")]
    load_built_in(["objectives"])
    dataset = scifact()
    halves = [
        Document(f"{document.id}-{half}", text)
        for document in dataset.corpus.documents
        for half, text in enumerate(_halves(document.text))
    ][:_DOCUMENTS]
    changed = [
        Document(one.id, f"A sentence that was not there. {one.text}")
        if number % (_DOCUMENTS // _CHANGED) == 0
        else one
        for number, one in enumerate(halves)
    ]
    spec = default_spec(generator={"none": {}})
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        asked = [Question(one.id, one.text) for one in dataset.questions[:_ASKED]]
        old = new_builder(Corpus(tuple(halves), "en"), folder / "store")
        stored = seen_by_search(old, spec, asked, folder)
        write_bundle(folder / "old", old, spec, BundleFacts(questions=stored))
        old.close()
        (folder / "documents.jsonl").write_bytes(
            b"".join(orjson.dumps({"id": one.id, "text": one.text}) + b"\n" for one in changed)
        )
        started = time.perf_counter()
        bundle = rag_opt.load(folder / "old")
        with prepare_update(folder / "old", bundle, folder / "documents.jsonl", scratch=_empty(folder / "up")) as new:
            write_bundle(folder / "new", new.builder, new.spec, new.facts)
            said = new.said[0]
        took_s = time.perf_counter() - started
        started = time.perf_counter()
        full = new_builder(Corpus(tuple(changed), "en"), folder / "another store")
        write_bundle(folder / "full", full, spec, BundleFacts())
        full_s = time.perf_counter() - started
        full.close()
        different = _count_different(folder / "new", folder / "full", [one.text for one in asked])
        shutil.rmtree(folder / "up", ignore_errors=True)
    name = f"{_CHANGED} of {_DOCUMENTS:,} documents changed"
    told = f"{said}; {took_s:.0f} s against {full_s:.0f} s; {different} of {_ASKED} lists differ from a full export's"
    return [(name, told, "at most 5 % of the embedding; the same lists")]


def _halves(text: str) -> tuple[str, str]:
    middle = text.find(" ", len(text) // 2)
    return (text[:middle], text[middle + 1 :]) if middle > 0 else (text, text)


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _count_different(one: Path, other: Path, questions: list[str]) -> int:
    lists = [
        [
            [(hit.document, hit.start, hit.end, round(hit.score, 5)) for hit in reply.hits]
            for reply in bundle.ask_many(questions)
        ]
        for bundle in (rag_opt.load(one), rag_opt.load(other))
    ]
    return sum(ours != theirs for ours, theirs in zip(*lists, strict=True))
