"""Texts to vectors, each exact input once: the only room that runs embedding models."""

from __future__ import annotations

import contextlib
import copy
import functools
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from rag_opt.core.arrays import FloatArray
from rag_opt.core.digests import digest, item_key
from rag_opt.core.errors import BadInput, ModelRefused, Problem, suggest_names
from rag_opt.core.forking import ThreadLock
from rag_opt.models import golden_vectors as golden
from rag_opt.models.embedder_cards import TASK, EmbedderCard
from rag_opt.models.encoder_backend import EncoderBackend
from rag_opt.models.llm.budget import BudgetTracker
from rag_opt.models.local_encoder import LocalEncoder
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.models.runtimes import Machine, Runtime, decide
from rag_opt.models.served_encoder import SERVED
from rag_opt.store.values import Values
from rag_opt.text.tokenizer_names import TOKENIZERS, find_tokenizer
from rag_opt.text.tokens import FileTokenizer, Tokenizer

_BATCHES_PER_COMMIT = 8
_SIMILAR, _LEAST_TEXTS = 0.75, 8  # share of the longest text of a batch; texts for which a batch pays
VECTORS = "vectors"  # table of values
_Rows = NDArray[np.void]  # of `_row_type`


class Encoder:
    """An embedding model behind the store of values. Nothing is loaded until a text is missing.

    Vectors are float32, of unit length, stored at the model's full width; a card's `truncate_dimensions` is applied
    when they are read, so that variants share them.

    `folder` and `identity` are for a model that is made here: `folder` makes its files when they are wanted, `identity`
    is known before. `lock` keeps other processes from encoding the same texts. `budget_tracker`: where requests to a
    service with a price are booked.

    Threads may share an encoder: one at a time encodes with a model that runs here, and the counter and the backend are
    under a lock. So may a forked process, which counts on for itself.
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
        budget_tracker: BudgetTracker | None = None,
    ) -> None:
        self.card = card
        self.progress: Callable[[int, int], None] = lambda done, total: None
        self.spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None
        self.encoded = 0  # inputs run through the model so far
        self.values = values
        self._lock = lock
        self._machine = machine
        self._budget_tracker = budget_tracker or BudgetTracker()
        self._made, self._made_identity = folder, identity
        self._backend: EncoderBackend | None = None
        self._validated: set[Purpose] = set()  # purposes whose golden vector was right
        self._state, self._encoding = ThreadLock(), ThreadLock()
        self.identity = functools.cache(self._read_identity)  # of this object alone, so that it ends with it

    def with_values(self, values: Values) -> Encoder:
        """Return an encoder of the same loaded model that keeps its vectors elsewhere, and reports to nobody."""
        _ = self.backend, self.files_digest, self.tokenizer  # made once, for both
        other = copy.copy(self)
        other.values, other.encoded = values, 0
        other.progress = lambda done, total: None
        other.spend = lambda stage, work, seconds: None
        return other

    @property
    def made_here(self) -> bool:
        """True where its files were made of another model's, not downloaded."""
        return self._made_identity is not None

    @property
    def folder(self) -> Path:
        """Folder with the model's files, made now if need be."""
        return self._made() if self._made is not None else self.card.folder

    @functools.cached_property
    def tokenizer(self) -> Tokenizer:
        """Tokenizer that texts are counted with."""
        card = self.card
        named = card.tokenizer in TOKENIZERS
        return find_tokenizer(str(card.tokenizer), where=card.where) if named else FileTokenizer(card.tokenizer_file)

    @property
    def backend(self) -> EncoderBackend:
        """Process or server that runs the model."""
        with self._state:
            if self._backend is None:
                self._backend = self._new_backend()
            return self._backend

    def _new_backend(self) -> EncoderBackend:
        card = self.card
        if card.served:
            return SERVED[card.backend](card, self.tokenizer, self._budget_tracker)
        return LocalEncoder(card, self._made or (lambda: card.folder), values=self.values, machine=self._machine)

    @property
    def cut(self) -> int:
        """Texts of which a server was given only the beginning, so far."""
        return 0 if self._backend is None else self._backend.cut

    @functools.cached_property
    def reads_tokens(self) -> int:
        """Tokens that are read of an input: as the card says, or fewer where its server takes fewer."""
        return self.backend.most_tokens

    @functools.cached_property
    def query_tokens(self) -> int:
        """Tokens of a query that the model reads, its prompt and special tokens taken off."""
        return self.reads_tokens - int(self.tokenizer.lengths([self.prompt("query")])[0])

    @functools.cached_property
    def document_tokens(self) -> int:
        """Tokens of a document's text that the model reads, its prompt and special tokens taken off."""
        return self.reads_tokens - int(self.tokenizer.lengths([self.prompt("document")])[0])

    def longer_than_read(self, texts: Sequence[str], purpose: Purpose) -> NDArray[np.bool_]:
        """Return for each text whether the model would read only its beginning."""
        most = self.query_tokens if purpose == "query" else self.document_tokens
        return self.tokenizer.lengths(list(texts)) - self.tokenizer.special_tokens > most

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of what determines the model: its files, what they are made of, or what its server says of itself."""
        return self.backend.files_digest if self._made_identity is None else self._made_identity

    @property
    def runtime(self) -> Runtime:
        """Runtime that encodes documents on this machine, for a model that runs here."""
        return decide(self._machine, self.card, self.values)

    def _read_identity(self, purpose: Purpose) -> str:
        """Return the hash of the model and of what runs it for a purpose; not of the card's name."""
        if self._made_identity is not None and not self.card.served:
            return digest([[self._made_identity, Runtime("cpu").facts], self.card.dimensions])
        return digest([self.backend.facts(purpose), self.card.dimensions])

    @functools.cached_property
    def vectors_key(self) -> str:
        """Hash that every key which depends on this encoder's vectors must contain."""
        prompts = [self.prompt("query"), self.prompt("document")]
        return digest([self.identity("query"), self.identity("document"), prompts, self.card.vector_dimensions])

    def stage(self, purpose: Purpose) -> str:
        """Return the name of the stage of encoding documents, or what is compared with them."""
        return f"{'embed' if purpose == 'document' else 'compare'} {self.card.id}"

    def keys(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        """Return the keys that the vectors of the texts are stored under; no model is loaded for it."""
        identity, prompt = self.identity(purpose), self.prompt(purpose)
        return [item_key(identity, [purpose, prompt + text]) for text in texts]

    def prompt(self, purpose: Purpose) -> str:
        """Return the text that is put before an input. Raises BadInput for a prompt that the model does not have."""
        card = self.card
        query = purpose == "query"
        name = card.query_prompt_name if query else card.document_prompt_name
        text = (card.query_prompt if query else card.document_prompt) if name is None else self._own_prompts(name)
        return text.replace(TASK, card.task or "")

    def _own_prompts(self, name: str) -> str:
        path = self.card.file("config_sentence_transformers.json")
        prompts = (orjson.loads(path.read_bytes()).get("prompts") or {}) if path.is_file() else {}
        if name not in prompts:
            problem = f"the model has no prompt called {name!r}{suggest_names(name, prompts)}"
            raise BadInput([Problem(self.card.where, problem)])
        return str(prompts[name])

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return [texts, dimensions]. Each distinct input that is not stored is run through the model once."""
        return self.timed_vectors(texts, purpose)[0]

    def timed_vectors(self, texts: Sequence[str], purpose: Purpose) -> tuple[Vectors, FloatArray]:
        """Return the vectors, and the milliseconds that each took: its share of the batch it was first encoded in."""
        if not texts:
            return np.zeros((0, self.card.vector_dimensions), np.float32), np.zeros(0)
        keys, known = self.stored(texts, purpose)
        rows = np.frombuffer(b"".join(known[key] for key in keys), _row_type(self.card.dimensions))
        return self._cut(rows["vector"]), rows["ms"].astype(float)

    def to_stored(self, vectors: Vectors) -> list[bytes]:
        """Return vectors that were embedded elsewhere as values are stored; those cut to fewer dimensions end in zeros.

        What is read of such a value is the same vector, since reading cuts it again.
        """
        rows = np.zeros(len(vectors), _row_type(self.card.dimensions))
        rows["vector"][:, : vectors.shape[1]] = vectors
        return [row.tobytes() for row in rows]

    def stored(self, texts: Sequence[str], purpose: Purpose) -> tuple[list[bytes], dict[bytes, bytes]]:
        """Return the key of each text and what is stored under it, encoded now where it is missing.

        A value is a float32 of milliseconds and the vector at the model's full width.
        """
        keys = self.keys(texts, purpose)
        known = self.values.get(VECTORS, keys)
        missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        if missing:
            in_turn = contextlib.nullcontext() if self.card.served else self._encoding
            with in_turn, self._lock(f"encoder-{self.files_digest}"):
                known |= self.values.get(VECTORS, list(missing))  # another thread or process may have been here
                known |= self._encode_missing({k: t for k, t in missing.items() if k not in known}, purpose)
        return keys, known

    def shaped(self, pooled: Vectors) -> Vectors:
        """Return vectors pooled elsewhere as the card wants them: of unit length, cut to its dimensions."""
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
        started = time.perf_counter()
        computed: dict[bytes, bytes] = {}
        batches = _batches(lengths, *self.backend.batch)
        for group in _groups(batches, _BATCHES_PER_COMMIT * self.backend.in_flight):
            unsaved: dict[bytes, bytes] = {}
            for batch, rows in self._run(texts, group, purpose):
                unsaved |= {keys[i]: row.tobytes() for i, row in zip(batch, rows, strict=True)}
                self.progress(len(computed) + len(unsaved), len(missing))
            self.values.put(VECTORS, unsaved)
            computed |= unsaved
        self.spend(self.stage(purpose), float(lengths.sum()), time.perf_counter() - started)
        return computed

    def prepare(self, purpose: Purpose) -> None:
        """Load what runs the model, and validate it against its card. Raises ModelRefused where it is another."""
        started = time.perf_counter()
        self.backend.prepare(purpose)
        with self._state:
            if purpose in self.card.golden and purpose not in self._validated:
                vector = _unit(self.backend.embed([self.prompt(purpose) + golden.TEXT], purpose))[0]
                golden.validate(self.card.golden, purpose, vector, self.card.where)
                self._validated.add(purpose)
        self.spend(f"load {self.card.id}", 1, time.perf_counter() - started)

    def count_encoded(self, inputs: int) -> None:
        """Add to the number of inputs that were run through the model."""
        with self._state:
            self.encoded += inputs

    def _run(
        self, texts: Sequence[str], batches: Sequence[list[int]], purpose: Purpose
    ) -> Iterator[tuple[list[int], _Rows]]:
        """Yield batches with the rows to store for their texts; several run at once where a server runs the model."""

        def run_batch(batch: list[int]) -> tuple[list[int], _Rows]:
            started = time.perf_counter()
            rows = np.zeros(len(batch), _row_type(self.card.dimensions))
            rows["vector"] = self._embed([texts[i] for i in batch], purpose)
            rows["ms"] = (time.perf_counter() - started) * 1000 / len(batch)
            return batch, rows

        return self.backend.map(run_batch, batches)

    def _embed(self, texts: list[str], purpose: Purpose) -> Vectors:
        self.count_encoded(len(texts))
        vectors = self.backend.embed(texts, purpose)
        if vectors.shape[1] != self.card.dimensions:
            raise ModelRefused(
                f"{self.card.id} gives {vectors.shape[1]} dimensions; its card says {self.card.dimensions}"
            )
        return _unit(vectors)


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _row_type(dimensions: int) -> np.dtype[np.void]:
    """Return the type of a stored row: the milliseconds that a vector took, and the vector."""
    return np.dtype([("ms", "<f4"), ("vector", "<f4", (dimensions,))])


def _groups(batches: Iterator[list[int]], size: int) -> Iterator[list[list[int]]]:
    while group := list(itertools.islice(batches, size)):
        yield group


def _batches(lengths: NDArray[np.int64], most_tokens: int, most_texts: int) -> Iterator[list[int]]:
    """Yield positions in batches of similar length, longest first, so that memory runs out early or never.

    Every text of a batch costs as much as its longest: those that are much shorter wait for the next one.
    """
    order = np.argsort(-lengths, kind="stable")
    first = 0
    while first < len(order):
        longest = max(int(lengths[order[first]]), 1)
        most = max(1, min(most_texts, most_tokens // longest))
        block = lengths[order[first : first + most]]
        size = min(len(block), max(int((block >= _SIMILAR * longest).sum()), _LEAST_TEXTS))
        yield order[first : first + size].tolist()
        first += size
