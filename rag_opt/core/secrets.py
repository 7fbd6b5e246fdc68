"""Secrets: what may be written down or printed of a text, an address, a header."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any
from urllib.parse import unquote, urlsplit

_LEAST_CHARACTERS = 8  # a shorter value of a variable stands in too much that is no secret
_NAMES = r"pass(?:word|wd|phrase)?|pwd|secret|token|api[-_]?key|access[-_]?key|credentials?|signature|sig|auth"
_VARIABLE = re.compile(rf"(?:{_NAMES}|KEY)(?:$|_)", re.IGNORECASE)
_NO_VARIABLE = re.compile(r"(?:FILE|PATH|DIR|SOCK|VARIABLE|_ID)$|^(?:OLD)?PWD$", re.IGNORECASE)
_USER = re.compile(r"(?<=://)[^/@\s'\"]*@")
_QUERY = re.compile(rf"([?&;](?:[\w.-]*[-_.])?(?:{_NAMES})=)[^&\s'\"#;]+", re.IGNORECASE)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{6,}")
# keys that are known by their first letters: OpenAI's, GitHub's, Hugging Face's, Slack's, AWS's, JSON web tokens
_KNOWN = re.compile(r"\b(?:sk-|gh[pousr]_|hf_|xox[abp]-|AKIA|eyJ[\w-]{8,}\.)[\w.-]{6,}")
_MASK = "…"


def mask(text: str) -> str:
    """Return a text as it may be written or printed.

    Taken out are the user information of addresses, query parameters that are named like secrets, keys that are known
    by their form, and the values of environment variables that are named like secrets.
    """
    text = _replace(text, _in_environment(os.environ))
    if "://" in text:
        text = _QUERY.sub(rf"\1{_MASK}", _USER.sub(f"{_MASK}@", text))
    return _KNOWN.sub(_MASK, _BEARER.sub(rf"\1 {_MASK}", text))


def mask_variables(text: str, names: Iterable[str]) -> str:
    """Return a text without the values of these environment variables, whatever they are called.

    Values of fewer than 8 characters stay: a server of one's own may take any word as its key.
    """
    values = ((name, os.environ.get(name, "")) for name in names)
    return _replace(text, ((name, value) for name, value in values if len(value) >= _LEAST_CHARACTERS))


def _replace(text: str, values: Iterable[tuple[str, str]]) -> str:
    for name, value in values:
        text = text.replace(value, f"${name}")
    return text


def is_secret(value: str) -> bool:
    """Return whether a value, as of a header, is a secret by its form."""
    return mask(value) != value


def _in_environment(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in variables.items():
        if len(value) >= _LEAST_CHARACTERS and _VARIABLE.search(name) and not _NO_VARIABLE.search(name):
            yield name, value
        if "://" in value and "@" in value:
            try:
                password = urlsplit(value).password
            except ValueError:
                continue
            if password and len(password) >= _LEAST_CHARACTERS:
                yield name, password
                yield name, unquote(password)


class MaskedStream:
    """A text stream that is written to through `mask`."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text without its secrets; returns the characters that were given."""
        self._stream.write(mask(text))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines without their secrets."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
