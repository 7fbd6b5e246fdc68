"""Sparse vectors of texts: a weight for each word of a model's vocabulary, by sentence-transformers' SparseEncoder."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.digests import digest, item_key
from rag_opt.core.errors import ModelRefused
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.loaded_models import load_once, loading_options, run_in_halves
from rag_opt.models.purposes import Purpose
from rag_opt.models.remote_code import allowed_code
from rag_opt.models.runtimes import Machine, ModelFiles, Runtime, decide, files_digest, weights_bytes
from rag_opt.store.values import Values

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_TABLE = "sparse_vectors"
_TEXTS_AT_ONCE = 16
_GROUP = 512  # texts that are stored together
_ENTRY = np.dtype([("word", "<i4"), ("weight", "<f4")])


class SparseModel:
    """A sparse model behind the store of values: nothing is loaded until a text is missing.

    In float32 by plain torch, documents too: their weights decide which words they are found by. `spend` is told the
    stage, tokens (about) and seconds of what was encoded.
    """

    def __init__(
        self,
        card: EmbedderCard,
        *,
        values: Values,
        machine: Machine,
        spend: Callable[[str, float, float], None] = lambda stage, work, seconds: None,
    ) -> None:
        self.card, self._values, self._spend = card, values, spend
        code = allowed_code(card, machine.allow_code)
        self._files = ModelFiles(card.folder, card.reads_tokens, dtype=card.dtype, code=code)
        self._runtime: Runtime = decide(machine, card, values).exact
        facts = [files_digest(card.folder, values), card.reads_tokens, card.dtype, code, self._runtime.facts]
        self.key = digest(["sparse", *facts, card.query_prompt, card.document_prompt, card.dimensions])

    def vectors(self, texts: Sequence[str], purpose: Purpose) -> csr_array:
        """Return [texts, words of the vocabulary]; each distinct text that is not stored is encoded once."""
        from scipy.sparse import csr_array

        keys = [item_key(self.key, [purpose, text]) for text in texts]
        rows = list[NDArray[np.void]]()
        for first in range(0, len(keys), _GROUP):  # so that little is lost where a person stops
            some = texts[first : first + _GROUP]
            stored = self._values.fill(_TABLE, keys[first : first + _GROUP], self._filler(some, purpose))
            rows += [np.frombuffer(value, _ENTRY) for value in stored]
        ends = np.cumsum([0, *map(len, rows)])
        entries = np.concatenate(rows) if rows else np.zeros(0, _ENTRY)
        return csr_array((entries["weight"], entries["word"], ends), shape=(len(rows), self.card.dimensions))

    def _filler(self, texts: Sequence[str], purpose: Purpose) -> Callable[[list[int]], list[bytes]]:
        return lambda positions: self._encode([texts[i] for i in positions], purpose)

    def _encode(self, texts: Sequence[str], purpose: Purpose) -> list[bytes]:
        model = load_once((self._files, self._runtime, "sparse"), weights_bytes(self._files.folder), self._load)
        encode = model.encode_query if purpose == "query" else model.encode_document
        prompt = self.card.query_prompt if purpose == "query" else self.card.document_prompt
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        found: dict[int, bytes] = {}
        started = time.perf_counter()

        def run(some: Sequence[int]) -> list[bytes]:
            rows = encode(
                [texts[i] for i in some], prompt=prompt, batch_size=len(some), show_progress_bar=False, save_to_cpu=True
            ).coalesce()
            return self._to_bytes(rows, len(some))

        for first in range(0, len(order), _TEXTS_AT_ONCE):
            some = order[first : first + _TEXTS_AT_ONCE]
            found |= dict(zip(some, run_in_halves(run, some), strict=True))
        self._spend(f"embed {self.card.id}", float(sum(map(len, texts))) / 4, time.perf_counter() - started)
        return [found[row] for row in range(len(texts))]

    def _to_bytes(self, rows: Any, count: int) -> list[bytes]:
        if rows.shape[1] != self.card.dimensions:
            raise ModelRefused(f"{self.card.where} weighs {rows.shape[1]} words; its card says {self.card.dimensions}")
        places, weights = rows.indices().numpy(), rows.values().float().numpy()
        entries = np.zeros(len(weights), _ENTRY)
        entries["word"], entries["weight"] = places[1], weights
        edges = np.searchsorted(places[0], np.arange(count + 1))
        return [entries[a:b].tobytes() for a, b in itertools.pairwise(edges.tolist())]

    def _load(self) -> Any:
        options = loading_options(self._files)
        from sentence_transformers import SparseEncoder

        model = SparseEncoder(str(self._files.folder), device=self._runtime.device, **options)
        model.eval()
        if model.max_seq_length is None or model.max_seq_length > self.card.reads_tokens:
            model.max_seq_length = self.card.reads_tokens
        return model
