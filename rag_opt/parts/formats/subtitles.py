"""Subtitles and transcripts: what is said, without the times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import TextFormat
from rag_opt.text.reading_writer import ReadingWriter

_TIMES = re.compile(r"^\s*(?:(\d+):)?(\d+):(\d+)[.,](\d+)\s*-->\s*(?:(\d+):)?(\d+):(\d+)[.,](\d+)")
_SPEAKER = re.compile(r"<v(?:\.[^ >]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-z][^>]*>|\{\\[^}]*\}|<\d[\d:.]*>", re.IGNORECASE)
_NO_CUE = re.compile(r"^(?:NOTE|STYLE|REGION)\b")
_PAUSE_S = 4.0  # silence that ends a paragraph
_TOUCHING_S = 0.05  # between cues of which the second goes on where the first ends
_LONG = 600  # characters, after which the next full stop ends one


@register("format", "subtitles")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Subtitles(TextFormat):
    """Read SRT and WebVTT files: cues joined to paragraphs, which end at pauses, other speakers, and full stops."""

    suffixes: ClassVar[tuple[str, ...]] = (".srt", ".vtt")

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return what is said. Raises Unreadable where the file is no text."""
        text, notes = decode(read_bytes(path), encoding=encoding)
        writer, said, before, ended = ReadingWriter(), "", "", 0.0
        for start, end, speaker, line in _without_repeated(_cues(text)):
            full = len(said) > _LONG and said[-1:] in ".!?。！？"
            if said and (start - ended > _PAUSE_S or full or (speaker and speaker != before)):
                writer.block("paragraph", said)
                said = ""
            if not said and speaker:
                said = f"{speaker}:"
            said = f"{said} {line}".strip()
            before, ended = speaker or before, end
        writer.block("paragraph", said)
        writer.take_notes(notes)
        return writer.finish()


def _without_repeated(cues: Iterable[tuple[float, float, str, list[str]]]) -> Iterator[tuple[float, float, str, str]]:
    """Yield the cues with their text in one line; rolling captions show the lines of the cue before again."""
    before, ended = list[str](), 0.0
    for start, end, speaker, lines in cues:
        rolls = start <= ended + _TOUCHING_S
        new = [line for line in lines if not (rolls and line in before)]
        if new:
            yield start, end, speaker, " ".join(new)
        before, ended = lines, end


def _cues(text: str) -> Iterator[tuple[float, float, str, list[str]]]:
    """Yield start and end in seconds, speaker (empty: not named) and lines of each cue."""
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip().split("\n")
        at = next((number for number, line in enumerate(lines) if _TIMES.match(line)), None)
        if at is None or (at > 0 and _NO_CUE.match(lines[0])):  # a comment may speak of times
            continue
        match = _TIMES.match(lines[at])
        content = "\n".join(lines[at + 1 :])
        speaker = _SPEAKER.search(content)
        shown = [line for raw in _TAG.sub("", content).split("\n") if (line := " ".join(raw.split()))]
        if match is not None and shown:
            yield _seconds(*match.groups()[:4]), _seconds(*match.groups()[4:]), speaker[1] if speaker else "", shown


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
