"""A labelled sample of sentences in twenty languages, written for this project, with traps.

`sentences/<language>.txt`: a sentence per line. `⏎` before one: it begins a line (a list item, say); `⏎` alone: an
empty line stands before the next. All others follow one another after a space, in Chinese and Japanese without one.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent / "sentences"
_UNSPACED = ("zh", "ja")
LANGUAGES = sorted(path.stem for path in _FOLDER.glob("*.txt"))


def read_sample(language: str) -> tuple[str, list[tuple[int, int]]]:
    """Return the text of a language, and the half-open offsets of its sentences."""
    text, spans, between = "", list[tuple[int, int]](), ""
    for line in (_FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        if line == "⏎":
            between = "\n\n"
            continue
        sentence = line.removeprefix("⏎")
        if sentence != line and between != "\n\n":
            between = "\n"
        text += between if text else ""
        spans.append((len(text), len(text) + len(sentence)))
        text += sentence
        between = "" if language in _UNSPACED else " "
    return text, spans


def f1(found: list[tuple[int, int]], labelled: list[tuple[int, int]]) -> float:
    """Return the F1 of whole sentences: both ends are right."""
    right = len(set(found) & set(labelled))
    return 2 * right / (len(found) + len(labelled)) if found or labelled else 1.0
