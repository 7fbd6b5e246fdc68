"""Messages of language models: what they say, without what they thought before."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_opt.models.http_replies import Json, find_error

_NAMES = r"(?:think|thinking|thought|reasoning|seed:think)"
_OPENING = re.compile(rf"\s*(?:<{_NAMES}>|◁think▷|\[THINK\])", re.IGNORECASE)
_CLOSING = re.compile(rf"</{_NAMES}>|◁/think▷|\[/THINK\]", re.IGNORECASE)
_OPENINGS = ("<think>", "<thinking>", "<thought>", "<reasoning>", "<seed:think>", "◁think▷", "[think]", "<|channel|>")
_FINAL = "<|channel|>final<|message|>"  # of a model whose server leaves its channels in the text
_THINKING = "reasoning_content"


def read_message(reply: Json) -> tuple[str, str]:
    """Return the message of a reply without its thinking, or the reason why there is none."""
    try:
        message = reply["choices"][0]["message"]
        content = _to_text(message["content"])
    except (KeyError, IndexError, TypeError):
        return "", f"answered no message: {find_error(reply) or str(reply)[:200]}"
    text = strip_thinking(content)
    if text.strip():
        return text, ""
    if content.strip() or message.get(_THINKING) or message.get("reasoning"):
        return "", "answered only its thinking, which did not end within max_tokens"
    return "", "answered an empty message"


def written_characters(reply: Json) -> int:
    """Return how many characters a model wrote, its thinking included."""
    try:
        message = reply["choices"][0]["message"]
        return len(_to_text(message["content"])) + len(str(message.get(_THINKING) or ""))
    except (KeyError, IndexError, TypeError):
        return 0


def may_be_thinking(text: str) -> bool:
    """Return whether a text that has begun may turn out to be thinking: so far it is blank, or may open it."""
    begun = text.strip().lower()
    if any(opening.startswith(begun) for opening in _OPENINGS):  # an empty text, too
        return True
    return begun.startswith("<|channel|>") and _FINAL not in text


def strip_thinking(text: str) -> str:
    """Return a text behind the end of its thinking, which may have begun in the prompt; empty where that never ends."""
    if _FINAL in text:
        return text.rpartition(_FINAL)[2].removesuffix("<|return|>").lstrip()
    ends = [match.end() for match in _CLOSING.finditer(text)]
    if ends:
        return text[ends[-1] :].lstrip()
    return "" if _OPENING.match(text) else text


def _to_text(content: Json) -> str:
    """Return content as text: it may come in parts. Raises TypeError for anything else."""
    if content is None:
        return ""
    if isinstance(content, list):
        return "".join(_texts_of(content))
    if not isinstance(content, str):
        raise TypeError
    return content


def _texts_of(parts: list[Json]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict) and isinstance(part.get("text"), str) and part.get("type", "text") != "thinking":
            yield part["text"]
