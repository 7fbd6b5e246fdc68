"""Prompts of generators (`conf/prompt/*.yaml`): what a language model is told besides passages and question."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.core.strict import STRICT
from rag_opt.models.cards import CardLibrary, library_folders
from rag_opt.models.llm.settings import Messages

_PLACEHOLDERS = {"{question}", "{passages}", "{refusal}"}
# a mark in any spelling that a model might take for one, closed or not; and characters that nobody sees, which carry
# hidden text (the tags of Unicode)
_MARKS = re.compile(r"[<＜‹〈]\s*/?\s*(?:passage|document|piece)\b[^>＞›〉\n]{0,200}[>＞›〉]?", re.IGNORECASE)
_INVISIBLE = re.compile("[\U000e0000-\U000e007f]")
# after a space, a sign of punctuation or another one: x[1] is code
CITATION = re.compile(r"(?:(?<=[\s.,;:!?\])\"'])|^)\[(\d+(?:\s*[,;]\s*\d+)*)\]")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Example:
    """One question that is shown to the model with its answer."""

    question: Annotated[str, Doc("Text of the question.")]
    answer: Annotated[str, Doc("Answer that the model should give.")]
    passages: Annotated[list[str], Doc("Passages that the answer rests on.")] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Prompt:
    """Texts that a question is sent with. `{refusal}` may stand in `user` and in `system`."""

    user: Annotated[str, Doc("Text with `{question}`, and `{passages}` where there are some.")]
    system: Annotated[str, Doc("Text before everything; empty: none is sent.")] = ""
    refusal: Annotated[str, Doc("Words of a model that cannot answer.")] = ""
    cites: Annotated[bool, Doc("Whether an answer names the passages it rests on, as [1].")] = False
    examples: Annotated[list[Example], Doc("Questions with answers, shown before the question.")] = field(
        default_factory=list
    )

    @model_validator(mode="after")
    def _validate(self) -> Prompt:
        if "{question}" not in self.user:
            raise ValueError("a prompt whose `user` holds {question}")
        unknown = set(re.findall(r"\{[a-z_]+\}", self.system + self.user)) - _PLACEHOLDERS
        if unknown:
            known = ", ".join(sorted(_PLACEHOLDERS))
            raise ValueError(f"a prompt with no placeholders but {known}, not {min(unknown)}")
        if "{refusal}" in self.system + self.user and not self.refusal.strip():
            raise ValueError("a prompt that gives a refusal, as it uses {refusal}")
        return self

    @property
    def reads_passages(self) -> bool:
        """True where the model is shown passages."""
        return "{passages}" in self.user

    def messages(self, question: str, passages: Sequence[str], *, examples: int) -> Messages:
        """Return the messages: the system's text, the first `examples` examples as a conversation, the question."""
        system = self._fill(self.system, "", "")
        told = [{"role": "system", "content": system}] if system.strip() else []
        for example in self.examples[:examples]:
            told += [
                {"role": "user", "content": self._fill(self.user, example.question, number_passages(example.passages))},
                {"role": "assistant", "content": example.answer},
            ]
        return [*told, {"role": "user", "content": self._fill(self.user, question, number_passages(passages))}]

    def _fill(self, text: str, question: str, passages: str) -> str:
        # in one pass, so that braces inside a passage are only text
        given = {"{question}": remove_marks(question), "{passages}": passages, "{refusal}": self.refusal.strip()}
        return re.sub(r"\{(?:question|passages|refusal)\}", lambda match: given[match.group()], text).strip()

    def refuses(self, reply: str) -> bool:
        """Return whether a reply is the refusal, or begins with it as a sentence, in any case and punctuation."""
        words = re.findall(r"\w+", self.refusal)
        if not words:
            return not reply.strip()
        sentence = r"\W*" + r"\W+".join(map(re.escape, words)) + r"\s*(?:[.!?\n\[\"'*]|$)"
        return not reply.strip() or re.match(sentence, reply, re.IGNORECASE) is not None


def remove_marks(text: str) -> str:
    """Return a text of a stranger without what could pass for the marks of passages, or be read and not seen."""
    visible = _INVISIBLE.sub("", text)
    while (without := _MARKS.sub(" ", visible)) != visible:  # what is left may make a new one
        visible = without
    return visible


def number_passages(passages: Sequence[str]) -> str:
    """Return the passages as one text, each numbered, between marks that do not occur inside it."""
    cleaned = (remove_marks(passage).strip() for passage in passages)
    return "\n".join(f'<passage number="{n}">\n{text}\n</passage>' for n, text in enumerate(cleaned, start=1))


def find_citations(reply: str, count: int) -> list[int]:
    """Return the positions (from 0) of the `count` passages that a reply names, each once, in their order."""
    positions = (number - 1 for match in CITATION.finditer(reply) for number in _numbers(match, count))
    return list(dict.fromkeys(positions))


def remove_citations(reply: str, count: int) -> str:
    """Return the reply without the marks of the `count` passages."""
    left = CITATION.sub(lambda match: "" if _numbers(match, count) else match.group(), reply)
    return re.sub(r"[ \t]+(?=[.,;:!?\n]|$)", "", re.sub(r"(?<=\S)[ \t]{2,}", " ", left)).strip()


def _numbers(match: re.Match[str], count: int) -> list[int]:
    """Return the numbers in a mark, if all of them are those of passages."""
    numbers = [int(digits) for digits in re.findall(r"\d+", match.group(1))]
    return numbers if all(1 <= number <= count for number in numbers) else []


def prompt_library(conf_folders: Sequence[Path]) -> CardLibrary[Prompt]:
    """Return the prompts in the `prompt/` folders of the config folders in use."""
    return CardLibrary(Prompt, "generator.chat.prompt", library_folders(conf_folders, "prompt"), noun="prompt")
