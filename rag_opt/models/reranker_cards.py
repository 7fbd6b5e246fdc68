"""Cards of reranking models (`conf/reranker/*.yaml`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from annotated_doc import Doc
from annotated_types import Ge
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, ModelCard, find_reads_tokens, identify, library_folders, read_json


@dataclass(frozen=True, kw_only=True, config=STRICT)
class RerankerCard(ModelCard):
    """Settings of a reranking model.

    A cross-encoder reads question and text together and gives one number; a language model reads both within a fixed
    prompt, and the number is the difference of the logits of two answers; a ColBERT model gives a vector for each token
    of either.
    """

    architecture: Annotated[
        Literal["cross_encoder", "language_model", "colbert"], Doc("How it compares question and text.")
    ] = "cross_encoder"
    prompt: Annotated[
        str, Doc("Of a language model: what is between prefix and suffix; {instruction}, {query} and {document} in it.")
    ] = ""
    prefix: Annotated[str, Doc("Of a language model: what stands before the prompt, special tokens included.")] = ""
    suffix: Annotated[str, Doc("Of a language model: what stands after it.")] = ""
    instruction: Annotated[str, Doc("Of a language model: what it is told to judge by.")] = ""
    relevant_token: Annotated[str, Doc("Of a language model: the answer whose logit speaks for the text.")] = "yes"
    irrelevant_token: Annotated[str, Doc("Of a language model: the answer whose logit is taken off.")] = "no"
    hosted: Annotated[bool, Doc("Whether its maker runs it, behind an API that LiteLLM knows.")] = False
    usd_per_million_tokens: Annotated[
        Annotated[float, Ge(0)] | None, Doc("Price of its service; null: not known, counted as 0 and said.")
    ] = None
    relevant_label: Annotated[
        Annotated[int, Ge(0)] | None, Doc("Of a head with several labels: the one that speaks for the text.")
    ] = None

    @model_validator(mode="after")
    def _ask_for_what_a_language_model_reads(self) -> Self:
        missing = [mark for mark in ("{query}", "{document}") if mark not in self.prompt]
        if self.architecture == "language_model" and missing:
            raise ValueError(f"a language model needs a prompt with {' and '.join(missing)} in it")
        return self

    @property
    def where(self) -> str:
        """Name of the model in messages."""
        return f"reranker {self.id}"

    @property
    def served(self) -> bool:
        """True where a server runs it."""
        return self.hosted or self.url is not None


def infer(name: str) -> RerankerCard:
    """Return the card of a model that has none, from its own files. Raises BadInput where they are not to be had."""
    identity, folder = identify(name)
    code = "auto_map" in read_json(folder / "config.json")
    return RerankerCard(
        reads_tokens=find_reads_tokens(folder), custom_code=code, source="its own files", verified=False, **identity
    )


def reranker_card_library(conf_folders: Sequence[Path]) -> CardLibrary[RerankerCard]:
    """Return the cards in the `reranker/` folders of the config folders in use."""
    return CardLibrary(RerankerCard, "reranker.name", library_folders(conf_folders, "reranker"), infer=infer)
