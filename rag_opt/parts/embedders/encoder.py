"""Texts to vectors, each exact input once: the only place where an embedding model is loaded and run."""

from __future__ import annotations

import contextlib
import functools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from rag_opt.errors import ModelRefused
from rag_opt.parts.embedders.cards import Card
from rag_opt.parts.embedders.runtimes import Machine, Runtime, decide, halving, loaded
from rag_opt.records import FloatArray
from rag_opt.store.keys import canonical, digest, file_digest, item_key
from rag_opt.store.values import Values
from rag_opt.tokens import Tokenizer

Purpose = Literal["query", "document", "sentence"]
Vectors = NDArray[np.float32]

_BATCHES_PER_COMMIT = 8
_SHELF = "vectors"


class Encoder:
    """An embedding model behind the store of values. Nothing is loaded until a text is missing.

    Vectors are float32, of unit length, stored at the model's full width; a card's
    `truncate_dimensions` is applied when they are read, so that variants share them.
    """

    def __init__(
        self,
        card: Card,
        *,
        values: Values,
        lock: Callable[[str], AbstractContextManager[None]] = lambda _: contextlib.nullcontext(),
        machine: Machine = Machine(),
    ) -> None:
        self.card = card
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None
        self.encoded = 0
        self._values = values
        self._lock = lock
        self._machine = machine

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.card.folder / "tokenizer.json")

    @functools.cached_property
    def query_tokens(self) -> int:
        """How many tokens of a query the model reads, its prompt and special tokens taken off."""
        return self.card.reads_tokens - int(self.tokenizer.lengths([self.card.query_prompt])[0])

    @functools.cached_property
    def document_tokens(self) -> int:
        """How many tokens of a document's text the model reads, its prompt and special tokens taken off."""
        return self.card.reads_tokens - int(self.tokenizer.lengths([self.card.document_prompt])[0])

    def longer_than_read(self, texts: Sequence[str], purpose: Purpose) -> NDArray[np.bool_]:
        """Which of the texts the model would read only the beginning of."""
        most = self.query_tokens if purpose == "query" else self.document_tokens
        return self.tokenizer.lengths(list(texts)) - self.tokenizer.special_tokens > most

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of the files that determine the vectors."""
        return _files_digest(self.card.folder, self._values)

    @functools.cached_property
    def runtime(self) -> Runtime:
        """What encodes documents on this machine."""
        return decide(self._machine, self.card.folder, self._values)

    def _runs_on(self, purpose: Purpose) -> Runtime:
        return self.runtime if purpose == "document" else self.runtime.exact

    def _identity(self, purpose: Purpose) -> str:
        """Hash of the model's files and of what runs it for a purpose; not of the card's name."""
        facts = {"files": self.files_digest, "reads_tokens": self.card.reads_tokens}
        return digest({**facts, **self._runs_on(purpose).facts})

    @functools.cached_property
    def vectors_key(self) -> str:
        """What every key that depends on this encoder's vectors must contain."""
        prompts = [self.card.query_prompt, self.card.document_prompt]
        return digest([self._identity("query"), self._identity("document"), prompts, self.card.vector_dimensions])

    def stage(self, purpose: Purpose) -> str:
        """The name of the work of encoding for a purpose: of documents, or of what is compared with them."""
        return f"{'embed' if purpose == 'document' else 'compare'} {self.card.id}"

    def keys(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        """Under what the vectors of the texts are stored; no model is loaded for it."""
        identity, prompt = self._identity(purpose), self._prompt(purpose)
        return [item_key(identity, [purpose, prompt + text]) for text in texts]

    def _prompt(self, purpose: Purpose) -> str:
        return self.card.query_prompt if purpose == "query" else self.card.document_prompt

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """[texts, dimensions]. Each distinct input that is not stored is run through the model once."""
        return self.timed_vectors(texts, purpose)[0]

    def timed_vectors(self, texts: Sequence[str], purpose: Purpose) -> tuple[Vectors, FloatArray]:
        """The vectors, and the milliseconds that each took: its share of the batch it was first encoded in."""
        if not texts:
            return np.zeros((0, self.card.vector_dimensions), np.float32), np.zeros(0)
        keys = self.keys(texts, purpose)
        known = self._values.get(_SHELF, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            with self._lock(f"encoder-{self.files_digest}"):
                known |= self._values.get(_SHELF, list(missing))  # another process may have been here
                known |= self._encode_missing({k: t for k, t in missing.items() if k not in known}, purpose)
        rows: Any = np.frombuffer(b"".join(known[key] for key in keys), _entry(self.card.dimensions))
        return self._cut(rows["vector"]), rows["ms"].astype(float)

    def _cut(self, full: Vectors) -> Vectors:
        if self.card.truncate_dimensions is None:
            return full
        cut = full[:, : self.card.truncate_dimensions]
        return _unit(cut)

    def _encode_missing(self, missing: dict[bytes, str], purpose: Purpose) -> dict[bytes, bytes]:
        if not missing:
            return {}
        keys, texts = list(missing), list(missing.values())
        lengths = np.minimum(
            self.tokenizer.lengths([self._prompt(purpose) + text for text in texts]), self.card.reads_tokens
        )
        begun = time.perf_counter()
        self._model(purpose)  # loading is not part of what a vector takes
        self.spend(f"load {self.card.id}", 1, time.perf_counter() - begun)
        begun = time.perf_counter()
        made: dict[bytes, bytes] = {}
        unsaved: dict[bytes, bytes] = {}
        for number, batch in enumerate(_batches(lengths, *self.runtime.batch)):
            started = time.perf_counter()
            rows = np.zeros(len(batch), _entry(self.card.dimensions))
            rows["vector"] = self._run([texts[i] for i in batch], purpose)
            rows["ms"] = (time.perf_counter() - started) * 1000 / len(batch)
            for i, row in zip(batch, rows, strict=True):
                made[keys[i]] = unsaved[keys[i]] = row.tobytes()
            if number % _BATCHES_PER_COMMIT == _BATCHES_PER_COMMIT - 1:
                self._values.put(_SHELF, unsaved)
                unsaved = {}
            self.progress(len(made), len(missing))
        self._values.put(_SHELF, unsaved)
        self.spend(self.stage(purpose), float(lengths.sum()), time.perf_counter() - begun)
        return made

    def _model(self, purpose: Purpose) -> Any:
        return loaded(self.card.folder, self.card.reads_tokens, self._runs_on(purpose))

    def _run(self, texts: list[str], purpose: Purpose) -> Vectors:
        self.encoded += len(texts)
        model, prompt = self._model(purpose), self._prompt(purpose)

        def run(some: Sequence[str]) -> Sequence[Vectors]:
            found: Vectors = model.encode(list(some), prompt=prompt, batch_size=len(some), show_progress_bar=False)
            return list(found)

        vectors = np.asarray(halving(run, texts), np.float32)
        if vectors.shape[1] != self.card.dimensions:
            raise ModelRefused(
                f"{self.card.id} gives {vectors.shape[1]} dimensions; its card says {self.card.dimensions}"
            )
        return _unit(vectors)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _entry(dimensions: int) -> np.dtype[np.void]:
    """How one vector is stored: how long it took, and the vector."""
    return np.dtype([("ms", "<f4"), ("vector", "<f4", (dimensions,))])


def _batches(lengths: NDArray[np.int64], most_tokens: int, most_texts: int) -> Iterator[list[int]]:
    """Positions in batches of alike length, longest first, so that memory runs out early or never."""
    order = np.argsort(-lengths, kind="stable").tolist()
    while order:
        size = max(1, min(most_texts, most_tokens // max(int(lengths[order[0]]), 1)))
        yield order[:size]
        order = order[size:]


def _files_digest(folder: Path, values: Values) -> str:
    """Hash of all that determines the vectors, remembered by size and time: weights are large."""
    kept = [p for p in sorted(folder.rglob("*")) if p.suffix in (".json", ".safetensors", ".txt", ".model")]
    stat = [(p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in kept]
    key = item_key("model files", [str(folder), stat])

    def compute(_: list[int]) -> list[bytes]:
        return [canonical([(name, file_digest(folder / name)) for name, _, _ in stat])]

    return digest(values.fill("models", [key], compute)[0].decode())
