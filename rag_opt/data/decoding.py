"""Bytes of text files as text: byte order marks, declared and guessed encodings."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from rag_opt.core.errors import NoText, Unreadable
from rag_opt.core.readings import ReadingNote

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_LONE_HIGH, _ASCII_LETTER = re.compile(rb"[\x80-\xff]"), re.compile(rb"[A-Za-z]")
_CENTRAL_EUROPEAN, _MANY = ("cp1250", "iso8859_2", "iso8859_16"), 40
_DECLARED = re.compile(rb"""<(?:meta|\?xml)[^>]{0,300}?(?:charset|encoding)\s*=\s*["']?\s*([\w.:-]+)""", re.IGNORECASE)
_DAMAGED = 0.6  # of the bytes that are not ASCII: so many in sequences of UTF-8 are no chance
_LOOKED_AT = 4096  # bytes of the beginning in which an encoding is declared
_SAMPLE = 200_000  # bytes that a guess is made by


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file. Raises Unreadable."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from None


def decode(content: bytes, *, encoding: str | None = None, declares: bool = False) -> tuple[str, list[ReadingNote]]:
    """Return the text of a file's bytes, line ends as they are, and a note where its encoding was guessed.

    `encoding`: the one to be used, whatever the file says. `declares`: whether files of this format name their own, as
    HTML and XML do. Raises Unreadable where the bytes are no text, or not in that encoding.
    """
    for mark, marked in _MARKS:
        if content.startswith(mark):
            return _decode(content[len(mark) :], marked), []
    if encoding is not None:
        return _decode(content, encoding), []
    if b"\0" in content[:_LOOKED_AT]:
        raise NoText("is no text: it holds zero bytes")
    declared = _DECLARED.search(content[:_LOOKED_AT]) if declares else None
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError as error:
        if declared is not None and _is_known(named := declared[1].decode("ascii", "replace")):
            # browsers read what calls itself Latin 1 or ASCII as Windows' code page
            named = "cp1252" if codecs.lookup(named).name in ("iso8859-1", "ascii", "utf-8") else named
            return content.decode(named, "replace"), []
        inside = sum(len(match[0]) for match in _MULTIBYTE.finditer(content[:_SAMPLE]))
        if inside >= _DAMAGED * len(_LONE_HIGH.findall(content[:_SAMPLE])):  # it is UTF-8, and damaged
            raise Unreadable(f"{describe_not_utf8(error)} (dataset.encoding= names another encoding)") from None
        return _guess(content, error)


def _guess(content: bytes, error: UnicodeDecodeError) -> tuple[str, list[ReadingNote]]:
    """Return text of an unknown encoding, by charset-normalizer and by what can be seen.

    Where few letters are not ASCII, the text is in Latin letters: then it is Windows' western code page, unless many
    of them say that it is the central European one.
    """
    from charset_normalizer import from_bytes

    sample = content[:_SAMPLE]
    found = from_bytes(sample).best()
    name = found.encoding if found is not None else None
    high, letters = len(_LONE_HIGH.findall(sample)), len(_ASCII_LETTER.findall(sample))
    western = _try(sample, "cp1252")
    central = name in _CENTRAL_EUROPEAN and high >= _MANY
    if high <= letters and not central and western is not None and _mostly_letters(sample, western):
        name = "cp1252"
    text = _try(content, name) if name is not None else None
    if name is None or text is None:
        raise Unreadable(describe_not_utf8(error)) from None
    what = "text is not UTF-8 and was read as it looks (dataset.encoding= names another)"
    return text, [ReadingNote(what, example=name)]


def _mostly_letters(content: bytes, text: str) -> bool:
    high = [text[match.start()] for match in _LONE_HIGH.finditer(content) if match.start() < len(text)]
    return bool(high) and sum(c.isalpha() or c in "‘’“”–—…€°§«»¿¡·" for c in high) >= 0.9 * len(high)


def _try(content: bytes, encoding: str) -> str | None:
    try:
        return content.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8":
            raise Unreadable(describe_not_utf8(error)) from None
        raise Unreadable(f"is not {encoding}: {error.reason} at offset {error.start}") from None


def _is_known(encoding: str) -> bool:
    try:
        codecs.lookup(encoding)
    except LookupError:
        return False
    return True


def is_encoding(name: str) -> bool:
    """Return whether Python knows an encoding of text of that name."""
    return _is_known(name) and bool(getattr(codecs.lookup(name), "_is_text_encoding", True))


def describe_not_utf8(error: UnicodeDecodeError, bytes_before: int = 0) -> str:
    """Return which byte keeps a file from being UTF-8."""
    bad = error.object[error.start : error.start + 1].hex()
    return f"is not UTF-8: byte 0x{bad} at offset {bytes_before + error.start}"
