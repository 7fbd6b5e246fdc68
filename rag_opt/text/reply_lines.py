"""Lines of a model's reply: questions, without numbers, labels and what announces them."""

from __future__ import annotations

import re

_NUMBERING = re.compile(r"^\s*(?:[-*•]|\(?\d+[.):])?\s*")
_LABEL = re.compile(
    r"^(?:(?:re|sub-?)?(?:worded )?(?:question|rewording|query|version|part)s?|q|a|answer)\s*\d*\s*:\s*", re.I
)
_ANNOUNCEMENT = re.compile(r"^(?:here (?:is|are)|sure|certainly|of course|no (?:decomposition|parts?))\b.*[:!.]$", re.I)
_LEAST_WORDS, _MORE_CHARACTERS = 2, 100


def read_questions(reply: str, *, times_longer: int, than: str) -> list[str]:
    """Return the lines of a reply that may be questions, each once, less the one that was asked (`than`).

    A line far longer than that (`times_longer`) is prose, not a question.
    """
    longest = times_longer * len(than) + _MORE_CHARACTERS
    lines = (_LABEL.sub("", _NUMBERING.sub("", line)).strip().strip('"“”').strip() for line in reply.splitlines())
    found = [line for line in lines if _has_words(line) and len(line) <= longest and not _ANNOUNCEMENT.match(line)]
    return [line for line in dict.fromkeys(found) if line.casefold() != than.casefold()]


def _has_words(line: str) -> bool:
    """Return whether a line may be a question; scripts without spaces have one word to a line."""
    return len(line.split()) >= _LEAST_WORDS or (len(line) > _LEAST_WORDS and not line.isascii())
