"""Prompts of generators (`conf/prompt/*.yaml`): what a language model is told, around passages and question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path

from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, library_folders
from rag_opt.models.llm.settings import Messages

_PLACES = {"{question}", "{passages}", "{refusal}"}
_MARKS = re.compile(r"</?passage\b[^>]*>", re.IGNORECASE)
# after a space, a sign of punctuation or another one: x[1] is code
CITATION = re.compile(r"(?:(?<=[\s.,;:!?\])\"'])|^)\[(\d+(?:\s*[,;]\s*\d+)*)\]")


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
        unknown = set(re.findall(r"\{[a-z_]+\}", self.system + self.user)) - _PLACES
        if unknown:
            raise ValueError(f"a prompt that speaks of nothing but {', '.join(sorted(_PLACES))}, not {min(unknown)}")
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
        """Whether the reply is the refusal, or begins with it as a sentence; case and punctuation do not matter."""
        words = re.findall(r"\w+", self.refusal)
        if not words:
            return not reply.strip()
        sentence = r"\W*" + r"\W+".join(map(re.escape, words)) + r"\s*(?:[.!?\n\[\"'*]|$)"
        return not reply.strip() or re.match(sentence, reply, re.IGNORECASE) is not None


def shown(passages: Sequence[str]) -> str:
    """Numbered passages between marks that do not occur inside them."""
    cleaned = (_MARKS.sub(" ", passage).strip() for passage in passages)
    return "\n".join(f'<passage number="{n}">\n{text}\n</passage>' for n, text in enumerate(cleaned, start=1))


def cited(reply: str, count: int) -> list[int]:
    """Positions from 0 of the `count` passages that a reply names, each once, in the order of their naming."""
    found = (number - 1 for match in CITATION.finditer(reply) for number in _numbers(match, count))
    return list(dict.fromkeys(found))


def without_citations(reply: str, count: int) -> str:
    """The reply without the marks of passages that there are."""
    left = CITATION.sub(lambda match: "" if _numbers(match, count) else match.group(), reply)
    return re.sub(r"[ \t]+(?=[.,;:!?\n]|$)", "", re.sub(r"(?<=\S)[ \t]{2,}", " ", left)).strip()


def _numbers(match: re.Match[str], count: int) -> list[int]:
    """The numbers in a mark, if all of them are those of passages."""
    numbers = [int(one) for one in re.findall(r"\d+", match.group(1))]
    return numbers if all(1 <= one <= count for one in numbers) else []


def prompt_library(conf_folders: Sequence[Path]) -> CardLibrary[Prompt]:
    """The `prompt/` folders of the config folders in use."""
    return CardLibrary(Prompt, "generator.chat.prompt", library_folders(conf_folders, "prompt"), noun="prompt")
