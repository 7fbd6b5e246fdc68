"""Subtitles and transcripts: what is said, without the times."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar, NamedTuple

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
        for start, end, speaker, line in _without_repeated(_cues(text, web=path.suffix.lower() == ".vtt")):
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


class _Cue(NamedTuple):
    """What is shown from `start` to `end`, in seconds: lines, each with who says it (empty: not named)."""

    start: float
    end: float
    lines: list[tuple[str, str]]


def _without_repeated(cues: Iterable[_Cue]) -> Iterator[tuple[float, float, str, str]]:
    """Yield start, end, speaker and words; rolling captions show the lines of the cue before again."""
    before, ended = list[tuple[str, str]](), 0.0
    for cue in cues:
        rolls = cue.start <= ended + _TOUCHING_S
        new = [line for line in cue.lines if not (rolls and line in before)]
        for speaker, lines in itertools.groupby(new, key=lambda line: line[0]):
            yield cue.start, cue.end, speaker, " ".join(words for _, words in lines)
        before, ended = cue.lines, cue.end


def _cues(text: str, *, web: bool) -> Iterator[_Cue]:
    """Yield the cues of a WebVTT file, which empty lines end, or of an SRT file, which the next number ends."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    times = [(number, match) for number, line in enumerate(lines) if (match := _TIMES.match(line))]
    for (first, match), (following, _) in zip(times, [*times[1:], (len(lines), None)], strict=True):
        until = following - 1 if lines[following - 1].strip().isdigit() and following < len(lines) else following
        shown = lines[first + 1 : until]
        if web:
            shown = list(itertools.takewhile(str.strip, lines[first + 1 : following]))
            head = list(itertools.takewhile(str.strip, reversed(lines[:first])))
            if head and _NO_CUE.match(head[-1]):  # a comment may speak of times
                continue
        said = [*_voices("\n".join(shown))]
        if said:
            yield _Cue(_seconds(*match.groups()[:4]), _seconds(*match.groups()[4:]), said)


def _voices(content: str) -> Iterator[tuple[str, str]]:
    """Yield speaker and words of each line of a cue."""
    pieces = _SPEAKER.split(content)
    for speaker, said in zip(["", *pieces[1::2]], pieces[::2], strict=True):
        for line in _TAG.sub("", said).split("\n"):
            if words := " ".join(line.split()):
                yield speaker, words


def _seconds(hours: str | None, minutes: str, seconds: str, fraction: str) -> float:
    return int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{fraction}")
