from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline, ModelRefused
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.remote_code import allowed_code
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import ModelFiles, Runtime, as_loaded, decide, files_digest, halving, held, weights_bytes

_PAIRS_AT_ONCE = 32


@register("reranker", "cross_encoder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossEncoder:
    """The first `depth` hits in the order of a model that reads question and text together, by the name of its card
    (`conf/reranker/<name>.yaml`), its id on the hub, or a folder. It reads only the beginning of a longer text.
    """

    name: str = "ms_marco_minilm_l6_v2"
    depth: Annotated[int, Ge(1), Le(1000)] = 20

    requires: ClassVar[frozenset[str]] = frozenset({"pair_scores"})

    def check(self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[Any]) -> None:
        card = rerankers.read(self.name)
        if card.architecture != "cross_encoder":
            raise ImpossiblePipeline(
                f"{self.name} is a {card.architecture} model: the reranker for it is late_interaction"
            )

    def scorer(self, tools: RerankerResources) -> Pairs:
        return Pairs(tools.rerankers.read(self.name), tools)


class Pairs:
    """Scores pairs by sentence-transformers' CrossEncoder in float32, as plain logits."""

    def __init__(self, card: RerankerCard, tools: RerankerResources) -> None:
        self.card, self._machine = card, tools.machine
        self.folder = card.folder
        code = allowed_code(card, tools.machine.allow_code)
        self._files = ModelFiles(self.folder, card.reads_tokens, dtype=card.dtype, code=code)
        self._runtime: Runtime = decide(tools.machine, self.folder, tools.values).exact
        facts = [files_digest(self.folder, tools.values), card.reads_tokens, card.dtype, code, self._runtime.facts]
        self.key = digest(["cross_encoder", *facts])

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """One logit per (question, text)."""
        import torch

        model = held(
            (self._files, self._runtime, "pairs"), self._runtime.device, weights_bytes(self.folder), self._load
        )
        order = sorted(range(len(pairs)), key=lambda i: -sum(map(len, pairs[i])))
        found = np.zeros(len(pairs), np.float32)

        def run(some: Sequence[int]) -> list[float]:
            batch = [pairs[i] for i in some]
            logits = model.predict(
                batch, activation_fn=torch.nn.Identity(), batch_size=len(batch), show_progress_bar=False
            )
            return [float(one) for one in np.asarray(logits, np.float32).reshape(-1)]

        for first in range(0, len(order), _PAIRS_AT_ONCE):
            some = order[first : first + _PAIRS_AT_ONCE]
            found[some] = halving(run, some)
        return found

    def _load(self) -> Any:
        kwargs = as_loaded(self._files)
        import transformers
        from sentence_transformers import CrossEncoder as Model

        transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
        model = Model(str(self.folder), device=self._runtime.device, max_length=self.card.reads_tokens, **kwargs)
        model.eval()
        if model.num_labels != 1:
            raise ModelRefused(f"{self.card.where}: gives {model.num_labels} numbers for a pair; a reranker gives one")
        return model
