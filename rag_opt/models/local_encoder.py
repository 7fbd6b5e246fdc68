"""An embedding model that runs here, by sentence-transformers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag_opt.core.errors import ModelRefused
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.purposes import Purpose, Vectors
from rag_opt.models.remote_code import allowed_code
from rag_opt.models.runtimes import Machine, ModelFiles, Runtime, decide, files_digest, halving, loaded
from rag_opt.store.values import Values

_MODES = {"lasttoken": "last"}


class Local:
    """`folder` gives the model's files; it is asked when a model has to run, or to be known."""

    in_flight = 1

    def __init__(self, card: EmbedderCard, folder: Callable[[], Path], *, values: Values, machine: Machine) -> None:
        self.card = card
        self.cut = 0
        self._find, self._values, self._machine = folder, values, machine

    @functools.cached_property
    def folder(self) -> Path:
        return self._find()

    @functools.cached_property
    def files_digest(self) -> str:
        """Hash of the files that determine the vectors."""
        return files_digest(self.folder, self._values)

    @functools.cached_property
    def runtime(self) -> Runtime:
        """What encodes documents on this machine."""
        return decide(self._machine, self.folder, self._values)

    @property
    def batch(self) -> tuple[int, int]:
        return self.runtime.batch

    def runs_on(self, purpose: Purpose) -> Runtime:
        return self.runtime if purpose == "document" else self.runtime.exact

    def facts(self, purpose: Purpose) -> dict[str, Any]:
        """What determines a vector beside its exact input; never the card's name."""
        card = self.card
        how = {"reads_tokens": card.reads_tokens, "pooling": card.pooling, "weights": card.dtype, "code": self._code}
        return {"files": self.files_digest, **how, **self.runs_on(purpose).facts}

    @property
    def _code(self) -> tuple[str, ...]:
        """Repositories whose code this model may run."""
        return allowed_code(self.card, self._machine.allow_code)

    def prepare(self, purpose: Purpose) -> None:
        """Load the model. Raises ModelRefused for one that is not as its card says."""
        self._checked(self._model(purpose))

    def _model(self, purpose: Purpose) -> Any:
        card = self.card
        files = ModelFiles(self.folder, card.reads_tokens, card.pooling, card.dtype, self._code)
        return loaded(files, self.runs_on(purpose))

    def _checked(self, model: Any) -> None:
        for module in model:
            mode = getattr(module, "pooling_mode", None)
            found = _MODES.get(str(mode), str(mode))
            if mode is not None and self.card.pooling is not None and found != self.card.pooling:
                raise ModelRefused(f"{self.card.where}: its files pool by {found}, its card says {self.card.pooling}")

    def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Vectors of exact inputs, prompts included; in halves where memory does not suffice."""
        model = self._model(purpose)

        def run(some: Sequence[str]) -> Sequence[Vectors]:
            # the model's own default prompt must not come before what is an exact input already
            found: Vectors = model.encode(list(some), prompt="", batch_size=len(some), show_progress_bar=False)
            return list(found)

        alone = purpose != "document" and self.card.dtype != "float32"  # in lower precision a batch changes its vectors
        parts = [[text] for text in texts] if alone else [texts]
        return np.asarray([vector for part in parts for vector in halving(run, part)], np.float32)

    def tokens(self, texts: Sequence[str], purpose: Purpose) -> list[NDArray[np.float32]]:
        """[tokens, dimensions] of each text before pooling, special tokens included; as many as the model reads."""
        model = self._model(purpose)

        def run(some: Sequence[str]) -> Sequence[NDArray[np.float32]]:
            import torch

            with torch.inference_mode():
                read = model.preprocess(list(some))
                out = model({k: v.to(model.device) if isinstance(v, torch.Tensor) else v for k, v in read.items()})
            masks = out["attention_mask"].bool()  # padding may stand before a text as well as after it
            every = zip(out["token_embeddings"], masks, strict=True)
            return [vectors[mask].float().cpu().numpy() for vectors, mask in every]

        return halving(run, texts)
