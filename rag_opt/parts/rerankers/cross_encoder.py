"""Cross-encoders: a model that reads question and text together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

import numpy as np
from annotated_doc import Doc
from annotated_types import Ge, Le
from numpy.typing import NDArray
from pydantic.dataclasses import dataclass

from rag_opt.core.digests import digest
from rag_opt.core.errors import ImpossiblePipeline, ModelRefused
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCard
from rag_opt.models.loaded_models import load_once, loading_options, run_in_halves
from rag_opt.models.logit_reranker import LogitModel
from rag_opt.models.remote_code import allowed_code
from rag_opt.models.reranker_cards import RerankerCard
from rag_opt.models.reranker_resources import RerankerResources
from rag_opt.models.runtimes import ModelFiles, Runtime, decide, files_digest, weights_bytes

_PAIRS_AT_ONCE = 32


@register("reranker", "cross_encoder")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class CrossEncoder:
    """Order the first hits by a model that reads question and text together: a cross-encoder, or a language model.

    It reads only the beginning of a longer text.
    """

    name: Annotated[str, Doc("Name of the model's card, its id on the hub, or a folder.")] = "ms_marco_minilm_l6_v2"
    depth: Annotated[int, Ge(1), Le(1000), Doc("How many of the first hits are scored.")] = 20

    uses_llm: ClassVar[bool] = False

    def find_card(self, rerankers: CardLibrary[RerankerCard], embedders: CardLibrary[EmbedderCard]) -> RerankerCard:
        """Return the card of its model. Raises BadInput and ImpossiblePipeline where it is of no use here."""
        card = rerankers.read(self.name)
        if card.architecture == "colbert":
            raise ImpossiblePipeline(f"{self.name} is a colbert model: the reranker for it is late_interaction")
        if card.hosted:
            raise ImpossiblePipeline(f"{self.name} is run by its maker: the reranker for it is hosted")
        return card

    def scorer(self, resources: RerankerResources) -> CrossEncoderScorer:
        """Return the model that scores pairs."""
        return CrossEncoderScorer(resources.rerankers.read(self.name), resources)


class CrossEncoderScorer:
    """A scorer of pairs in float32: plain logits of sentence-transformers' CrossEncoder, or a language model's."""

    def __init__(self, card: RerankerCard, resources: RerankerResources) -> None:
        self.card, self._machine = card, resources.machine
        self.folder = card.folder
        code = allowed_code(card, resources.machine.allow_code)
        self._files = ModelFiles(self.folder, card.reads_tokens, dtype=card.dtype, code=code)
        self._runtime: Runtime = decide(resources.machine, card, resources.values).exact
        facts = [files_digest(self.folder, resources.values), card.reads_tokens, card.dtype, code, self._runtime.facts]
        self.key = digest([card.architecture, *facts, *_facts(card)])

    def scores(self, pairs: Sequence[tuple[str, str]]) -> NDArray[np.float32]:
        """Return one number per (question, text): a logit, or the log-odds of the answer that speaks for the text."""
        if self.card.architecture == "language_model":
            return LogitModel(self.card, self._files, self._runtime).scores(pairs)
        import torch

        model = load_once((self._files, self._runtime, "pairs"), weights_bytes(self.folder), self._load)
        order = sorted(range(len(pairs)), key=lambda i: -sum(map(len, pairs[i])))
        found = np.zeros(len(pairs), np.float32)

        def run(some: Sequence[int]) -> list[float]:
            batch = [pairs[i] for i in some]
            logits = model.predict(
                batch, activation_fn=torch.nn.Identity(), batch_size=len(batch), show_progress_bar=False
            )
            return self._relevance(np.asarray(logits, np.float32).reshape(len(some), -1))

        for first in range(0, len(order), _PAIRS_AT_ONCE):
            some = order[first : first + _PAIRS_AT_ONCE]
            found[some] = run_in_halves(run, some)
        return found

    def _relevance(self, logits: NDArray[np.float32]) -> list[float]:
        """Return one number per pair; of several labels the log-odds of the one that the card names."""
        label = self.card.relevant_label
        if label is None:
            return [float(one) for one in logits[:, 0]]
        others = np.delete(logits, label, axis=1)
        return [float(one) for one in logits[:, label] - np.logaddexp.reduce(others, axis=1)]

    def _load(self) -> Any:
        kwargs = loading_options(self._files)
        from sentence_transformers import CrossEncoder as Model

        model = Model(str(self.folder), device=self._runtime.device, max_length=self.card.reads_tokens, **kwargs)
        model.eval()
        labels, relevant = model.num_labels, self.card.relevant_label
        if relevant is None and labels != 1:
            hint = "relevant_label in its card says which of them speaks for the text"
            raise ModelRefused(f"{self.card.where}: gives {labels} numbers for a pair, not one; {hint}")
        if relevant is not None and not relevant < labels > 1:
            raise ModelRefused(f"{self.card.where}: relevant_label is {relevant}, but it gives {labels} numbers")
        return model


def _facts(card: RerankerCard) -> list[object]:
    """Return what of a card determines the scores, beside the files and what runs them."""
    if card.architecture != "language_model":
        return [card.relevant_label]
    return [card.prefix, card.prompt, card.suffix, card.instruction, card.relevant_token, card.irrelevant_token]
