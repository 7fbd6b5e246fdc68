"""An embedding model that runs in this process, by sentence-transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from rag_opt.core.errors import ModelRefused
from rag_opt.core.strict import PlainDict
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.loaded_models import load_embedder, run_in_halves
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.models.remote_code import allowed_code
from rag_opt.models.runtimes import Machine, ModelFiles, Runtime, decide, files_digest
from rag_opt.store.values import Values

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_MODES = {"lasttoken": "last"}

Item = TypeVar("Item")
Result = TypeVar("Result")


class LocalEncoder:
    """A model run by this process (an `EncoderBackend`).

    `find_folder` gives the model's files; it is called when the model has to run, or to be known. The model itself is
    shared by all threads (`loaded_models`).
    """

    in_flight = 1
    cut = 0

    def __init__(
        self, card: EmbedderCard, find_folder: Callable[[], Path], *, values: Values, machine: Machine
    ) -> None:
        self.card = card
        self._find_folder, self._values, self._machine = find_folder, values, machine

    @functools.cached_property
    def folder(self) -> Path:
        """Folder with the model's files."""
        return self._find_folder()

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of the files that determine the vectors."""
        return files_digest(self.folder, self._values)

    @functools.cached_property
    def runtime(self) -> Runtime:
        """Runtime that encodes documents on this machine."""
        return decide(self._machine, self.card, self._values)

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch."""
        return self.runtime.batch

    @property
    def most_tokens(self) -> int:
        """Most tokens of a text, special tokens included."""
        return self.card.reads_tokens

    def runtime_for(self, purpose: Purpose) -> Runtime:
        """Return the runtime for a purpose: everything but documents is encoded exactly."""
        return self.runtime if purpose == "document" else self.runtime.exact

    def facts(self, purpose: Purpose) -> PlainDict:
        """Return what determines a vector beside its exact input; never the card's name."""
        card = self.card
        how = {"reads_tokens": card.reads_tokens, "pooling": card.pooling, "weights": card.dtype, "code": self._code}
        return {"files": self.files_digest, **how, **self.runtime_for(purpose).facts}

    @property
    def _code(self) -> tuple[str, ...]:
        """Repositories whose code this model may run."""
        return allowed_code(self.card, self._machine.allow_code)

    def prepare(self, purpose: Purpose) -> None:
        """Load the model. Raises ModelRefused for one that pools otherwise than its card says."""
        for module in self._model(purpose):
            mode = getattr(module, "pooling_mode", None)  # only the pooling has one
            pooling = _MODES.get(str(mode), str(mode))
            if mode is not None and self.card.pooling is not None and pooling != self.card.pooling:
                raise ModelRefused(f"{self.card.where}: its files pool by {pooling}, its card says {self.card.pooling}")

    def _model(self, purpose: Purpose) -> SentenceTransformer:
        card = self.card
        files = ModelFiles(self.folder, card.reads_tokens, card.pooling, card.dtype, self._code)
        return load_embedder(files, self.runtime_for(purpose))

    def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return [texts, dimensions] of exact inputs, prompts included; in halves where memory does not suffice."""
        model = self._model(purpose)

        def run(batch: Sequence[str]) -> Sequence[Vectors]:
            # the model's own default prompt must not come before what is an exact input already
            vectors: Vectors = model.encode(list(batch), prompt="", batch_size=len(batch), show_progress_bar=False)
            return list(vectors)

        alone = purpose != "document" and self.card.dtype != "float32"  # in lower precision a batch changes its vectors
        batches = [[text] for text in texts] if alone else [texts]
        return np.asarray([vector for batch in batches for vector in run_in_halves(run, batch)], np.float32)

    def token_vectors(self, texts: Sequence[str], purpose: Purpose) -> list[Vectors]:
        """Return [tokens, dimensions] of each text before pooling, as many tokens as the model reads."""
        model = self._model(purpose)

        def run(batch: Sequence[str]) -> Sequence[Vectors]:
            import torch

            with torch.inference_mode():
                features = model.preprocess(list(batch))
                out = model({k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in features.items()})
            masks = out["attention_mask"].bool()  # padding may stand before a text as well as after it
            every = zip(out["token_embeddings"], masks, strict=True)
            return [vectors[mask].float().cpu().numpy() for vectors, mask in every]

        return run_in_halves(run, texts)

    def map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield `do` of every item, one after another."""
        return map(do, items)
