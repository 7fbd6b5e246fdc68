"""Texts to vectors, each exact input once: the only place where an embedding model is run."""

from __future__ import annotations

import contextlib
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key
from rag_opt.core.errors import BadInput, ModelRefused, Problem, among
from rag_opt.models import golden_vectors as golden
from rag_opt.models.embedder_cards import TASK, EmbedderCard
from rag_opt.models.local_encoder import Local
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.models.runtimes import Machine, Runtime
from rag_opt.models.served_encoder import SERVED
from rag_opt.store.values import Values
from rag_opt.text.tokens import Tokenizer

_BATCHES_PER_COMMIT = 8
_SHELF = "vectors"


class Encoder:
    """An embedding model behind the store of values. Nothing is loaded until a text is missing.

    Vectors are float32, of unit length, stored at the model's full width; a card's
    `truncate_dimensions` is applied when they are read, so that variants share them.

    `folder` and `identity` are for a model that is made here: where its files are made when they are wanted, and what
    determines them, known before.
    """

    def __init__(
        self,
        card: EmbedderCard,
        *,
        values: Values,
        lock: Callable[[str], AbstractContextManager[None]] = lambda _: contextlib.nullcontext(),
        machine: Machine = Machine(),
        folder: Callable[[], Path] | None = None,
        identity: str | None = None,
    ) -> None:
        self.card = card
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None
        self.encoded = 0
        self.values = values
        self._lock = lock
        self._machine = machine
        self._made, self._made_identity = folder, identity
        self._golden: set[str] = set()
        self.identity = functools.cache(self._read_identity)  # of this object alone, so that it ends with it

    @property
    def made_here(self) -> bool:
        """Whether its files are no download, but were made of another model's."""
        return self._made_identity is not None

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        return Tokenizer(self.card.tokenizer_file)

    @functools.cached_property
    def backend(self) -> Any:
        """What runs the model: here, or a server."""
        card = self.card
        if card.served:
            return SERVED[card.backend](card, self.tokenizer)
        return Local(card, self._made or (lambda: card.folder), values=self.values, machine=self._machine)

    @property
    def cut(self) -> int:
        """Texts of which a server was given only the beginning, so far."""
        return int(self.backend.cut) if "backend" in vars(self) else 0

    @functools.cached_property
    def reads_tokens(self) -> int:
        """How many tokens are read of an input: as the card says, or fewer where its server takes fewer."""
        return int(self.backend.most_tokens) if self.card.served else self.card.reads_tokens

    @functools.cached_property
    def query_tokens(self) -> int:
        """How many tokens of a query the model reads, its prompt and special tokens taken off."""
        return self.reads_tokens - int(self.tokenizer.lengths([self.prompt("query")])[0])

    @functools.cached_property
    def document_tokens(self) -> int:
        """How many tokens of a document's text the model reads, its prompt and special tokens taken off."""
        return self.reads_tokens - int(self.tokenizer.lengths([self.prompt("document")])[0])

    def longer_than_read(self, texts: Sequence[str], purpose: Purpose) -> NDArray[np.bool_]:
        """Which of the texts the model would read only the beginning of."""
        most = self.query_tokens if purpose == "query" else self.document_tokens
        return self.tokenizer.lengths(list(texts)) - self.tokenizer.special_tokens > most

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of what determines the model: its files, what they are made of, or what its server says of itself."""
        if self._made_identity is not None:
            return self._made_identity
        return digest(self.backend.facts) if self.card.served else str(self.backend.files_digest)

    @property
    def runtime(self) -> Runtime:
        """What encodes documents on this machine, for a model that runs here."""
        runtime: Runtime = self.backend.runtime
        return runtime

    def _read_identity(self, purpose: Purpose) -> str:
        """Hash of the model and of what runs it for a purpose; not of the card's name."""
        if self.card.served:
            facts: Any = self.files_digest
        elif self._made_identity is not None:
            facts = [self._made_identity, Runtime("cpu").facts]
        else:
            facts = self.backend.facts(purpose)
        return digest([facts, self.card.dimensions])

    @functools.cached_property
    def vectors_key(self) -> str:
        """What every key that depends on this encoder's vectors must contain."""
        prompts = [self.prompt("query"), self.prompt("document")]
        return digest([self.identity("query"), self.identity("document"), prompts, self.card.vector_dimensions])

    def stage(self, purpose: Purpose) -> str:
        """The name of the work of encoding for a purpose: of documents, or of what is compared with them."""
        return f"{'embed' if purpose == 'document' else 'compare'} {self.card.id}"

    def keys(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        """Under what the vectors of the texts are stored; no model is loaded for it."""
        identity, prompt = self.identity(purpose), self.prompt(purpose)
        return [item_key(identity, [purpose, prompt + text]) for text in texts]

    def prompt(self, purpose: Purpose) -> str:
        """What is put before a text. Raises BadInput for the name of a prompt that the model does not have."""
        card = self.card
        query = purpose == "query"
        name = card.query_prompt_name if query else card.document_prompt_name
        text = (card.query_prompt if query else card.document_prompt) if name is None else self._own_prompts(name)
        return text.replace(TASK, card.task or "")

    def _own_prompts(self, name: str) -> str:
        path = self.card.file("config_sentence_transformers.json")
        prompts = (orjson.loads(path.read_bytes()).get("prompts") or {}) if path.is_file() else {}
        if name not in prompts:
            raise BadInput([Problem(self.card.where, f"the model has no prompt called {name!r}{among(name, prompts)}")])
        return str(prompts[name])

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """[texts, dimensions]. Each distinct input that is not stored is run through the model once."""
        return self.timed_vectors(texts, purpose)[0]

    def timed_vectors(self, texts: Sequence[str], purpose: Purpose) -> tuple[Vectors, FloatArray]:
        """The vectors, and the milliseconds that each took: its share of the batch it was first encoded in."""
        if not texts:
            return np.zeros((0, self.card.vector_dimensions), np.float32), np.zeros(0)
        keys = self.keys(texts, purpose)
        known = self.values.get(_SHELF, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            with self._lock(f"encoder-{self.files_digest}"):
                known |= self.values.get(_SHELF, list(missing))  # another process may have been here
                known |= self._encode_missing({k: t for k, t in missing.items() if k not in known}, purpose)
        rows: Any = np.frombuffer(b"".join(known[key] for key in keys), _entry(self.card.dimensions))
        return self._cut(rows["vector"]), rows["ms"].astype(float)

    def shaped(self, pooled: Vectors) -> Vectors:
        """Vectors pooled elsewhere as the card wants them: of unit length, cut to its dimensions."""
        return self._cut(_unit(pooled))

    def _cut(self, full: Vectors) -> Vectors:
        if self.card.truncate_dimensions is None:
            return full
        cut = full[:, : self.card.truncate_dimensions]
        return _unit(cut)

    def _encode_missing(self, missing: dict[bytes, str], purpose: Purpose) -> dict[bytes, bytes]:
        if not missing:
            return {}
        keys, prompt = list(missing), self.prompt(purpose)
        texts = [prompt + text for text in missing.values()]
        lengths = np.minimum(self.tokenizer.lengths(texts), self.card.reads_tokens)
        self.prepare(purpose)
        begun = time.perf_counter()
        made: dict[bytes, bytes] = {}
        batches = list(_batches(lengths, *self.backend.batch))
        for some in _parts(batches, _BATCHES_PER_COMMIT * self.backend.in_flight):
            unsaved: dict[bytes, bytes] = {}
            for batch, entries in self._run(texts, some, purpose):
                unsaved |= {keys[i]: entry.tobytes() for i, entry in zip(batch, entries, strict=True)}
                self.progress(len(made) + len(unsaved), len(missing))
            self.values.put(_SHELF, unsaved)
            made |= unsaved
        self.spend(self.stage(purpose), float(lengths.sum()), time.perf_counter() - begun)
        return made

    def prepare(self, purpose: Purpose) -> None:
        """Load what runs the model, and hold it against its card. Raises ModelRefused where it is another."""
        begun = time.perf_counter()
        self.backend.prepare(purpose)
        if purpose in self.card.golden and purpose not in self._golden:
            self._golden.add(purpose)
            vector = _unit(self.backend.embed([self.prompt(purpose) + golden.TEXT], purpose))[0]
            golden.check(self.card.golden, purpose, vector, self.card.where)
        self.spend(f"load {self.card.id}", 1, time.perf_counter() - begun)

    def _run(
        self, texts: Sequence[str], batches: Sequence[list[int]], purpose: Purpose
    ) -> Iterator[tuple[list[int], Any]]:
        """Batches with what is stored of each text of them; several at once where a server runs the model."""

        def one(batch: list[int]) -> tuple[list[int], Any]:
            started = time.perf_counter()
            rows = np.zeros(len(batch), _entry(self.card.dimensions))
            rows["vector"] = self._embedded([texts[i] for i in batch], purpose)
            rows["ms"] = (time.perf_counter() - started) * 1000 / len(batch)
            return batch, rows

        return self.backend.http_client.map(one, batches) if self.card.served else map(one, batches)

    def _embedded(self, texts: list[str], purpose: Purpose) -> Vectors:
        self.encoded += len(texts)
        vectors = self.backend.embed(texts, purpose)
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


def _parts(batches: Sequence[list[int]], size: int) -> Iterator[Sequence[list[int]]]:
    whole = iter(batches)
    while part := list(itertools.islice(whole, size)):
        yield part


def _batches(lengths: NDArray[np.int64], most_tokens: int, most_texts: int) -> Iterator[list[int]]:
    """Positions in batches of alike length, longest first, so that memory runs out early or never."""
    order = np.argsort(-lengths, kind="stable").tolist()
    while order:
        size = max(1, min(most_texts, most_tokens // max(int(lengths[order[0]]), 1)))
        yield order[:size]
        order = order[size:]
