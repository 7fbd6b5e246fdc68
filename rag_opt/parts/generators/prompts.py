"""Prompts of generators (`conf/prompt/*.yaml`): what a language model is told, around passages and question."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from pathlib import Path

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.config import STRICT
from rag_opt.parts.models.cards import Shelf, shelf_folders
from rag_opt.parts.models.language_model import Messages

_MARKS = re.compile(r"</?passage\b[^>]*>", re.IGNORECASE)
CITATION = re.compile(r"\[(\d+(?:\s*[,;]\s*\d+)*)\]")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Example:
    """One question shown with its answer."""

    question: str
    answer: str
    passages: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prompt:
    """`user` holds `{question}`, and `{passages}` where there are some; `{refusal}` may stand anywhere. `refusal`: what
    a model says that cannot answer. `cites`: an answer names the passages it rests on, as [1].
    """

    user: str
    system: str = ""
    refusal: str = ""
    cites: bool = False
    examples: list[Example] = field(default_factory=list)

    @model_validator(mode="after")
    def _whole(self) -> Prompt:
        if "{question}" not in self.user:
            raise ValueError("a prompt whose `user` holds {question}")
        if "{refusal}" in self.system + self.user and not self.refusal.strip():
            raise ValueError("a prompt that gives the refusal it speaks of")
        return self

    @property
    def reads_passages(self) -> bool:
        return "{passages}" in self.user

    def messages(self, question: str, passages: Sequence[str], *, examples: int) -> Messages:
        """What is sent: the system's text, `examples` of the examples as a conversation, the question."""
        system = self._filled(self.system, "", "")
        told = [{"role": "system", "content": system}] if system.strip() else []
        for one in self.examples[:examples]:
            told += [
                {"role": "user", "content": self._filled(self.user, one.question, shown(one.passages))},
                {"role": "assistant", "content": one.answer},
            ]
        return [*told, {"role": "user", "content": self._filled(self.user, question, shown(passages))}]

    def _filled(self, text: str, question: str, passages: str) -> str:
        # in one pass, so that braces inside a passage are only text
        given = {"{question}": question, "{passages}": passages, "{refusal}": self.refusal.strip()}
        return re.sub(r"\{(?:question|passages|refusal)\}", lambda match: given[match.group()], text).strip()

    def refuses(self, reply: str) -> bool:
        """Whether the reply is the refusal, give or take case, punctuation and citations."""
        said, wanted = _plain(CITATION.sub("", reply)), _plain(self.refusal)
        return not said or (bool(wanted) and said.startswith(wanted))


def shown(passages: Sequence[str]) -> str:
    """Numbered passages between marks that do not occur inside them."""
    cleaned = (_MARKS.sub(" ", passage).strip() for passage in passages)
    return "\n".join(f'<passage number="{n}">\n{text}\n</passage>' for n, text in enumerate(cleaned, start=1))


def cited(reply: str, count: int) -> list[int]:
    """Positions from 0 of the passages that a reply names, each once, in the order of their naming."""
    return list(dict.fromkeys(number - 1 for number in _numbers(reply) if 1 <= number <= count))


def without_citations(reply: str) -> str:
    return re.sub(r"\s+([.,;:!?])", r"\1", " ".join(CITATION.sub(" ", reply).split()))


def _numbers(reply: str) -> Iterator[int]:
    for match in CITATION.finditer(reply):
        yield from map(int, re.findall(r"\d+", match.group(1)))


def _plain(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", " ", text).lower().split())


def prompt_shelf(conf_folders: Sequence[Path]) -> Shelf[Prompt]:
    """The `prompt/` folders of the config folders in use."""
    return Shelf(Prompt, "generator.chat.prompt", shelf_folders(conf_folders, "prompt"))
