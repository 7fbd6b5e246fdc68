"""The language that a corpus is written in: as a person says, or as it is detected."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections import Counter
from typing import TYPE_CHECKING

from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

_MAX_DOCUMENTS, _MAX_CHARACTERS = 200, 2000  # that are looked at: documents, and characters of each
_CODE = re.compile(r"[a-z]{2}")
_CLEAR_MAJORITY = 0.6  # of the documents looked at
_NO_LANGUAGE = ("und", "zxx", "")
_RUN, _MARKS, _LONGEST_WORD = re.compile(r"\S+"), ".,;:!?()\"'“”‘’…-", 30


def set_language(dataset: Dataset, given: str | None) -> Dataset:
    """Return the data set with its language, and with a note where it was detected.

    `given`: an ISO 639-1 code, or `unknown`; None: detect it. Raises BadInput for anything else.
    """
    if given is None:
        language, found = detect_language(dataset.corpus)
        seen = ", ".join(f"{code} {count / found.total():.0%}" for code, count in found.most_common(3))
        mixed = f" (mixed: {seen})" if seen else ""
        unclear = f"language: not clear from the documents{mixed}; dataset.language=… says it"
        note = f"language: {language}, as most documents look; dataset.language=… says another" if language else unclear
    elif given == "unknown" or _CODE.fullmatch(given):
        language, note = "" if given == "unknown" else given, ""
    else:
        raise BadInput([Problem("dataset.language", f"is {given!r}; should be two letters (ISO 639-1), or unknown")])
    notes = (*dataset.notes, note) if note else dataset.notes
    corpus = dataclasses.replace(dataset.corpus, language=language)
    return dataclasses.replace(dataset, corpus=corpus, notes=notes)


def detect_language(corpus: Corpus) -> tuple[str, Counter[str]]:
    """Return the language (ISO 639-1) of most of up to 200 documents, spread over the corpus, and how many have which.

    By their prose; the language is empty where none has a clear majority.
    """
    count = len(corpus.documents)
    rows = [i * count // _MAX_DOCUMENTS for i in range(_MAX_DOCUMENTS)] if count > _MAX_DOCUMENTS else range(count)
    texts = [read_prose(corpus.documents[row].text, _MAX_CHARACTERS) for row in rows]
    said = [str(_identifier().classify(text)[0]) for text in texts if text]
    counts = Counter(code for code in said if code not in _NO_LANGUAGE)
    language, most = counts.most_common(1)[0] if counts else ("", 0)
    return (language if most >= _CLEAR_MAJORITY * len(said) else ""), counts


def read_prose(text: str, most: int) -> str:
    """Return the first words of a text that tell its language: no hashes, addresses, numbers or identifiers."""
    words, size = list[str](), 0
    for match in _RUN.finditer(text):
        word = match[0]
        if len(word) > _LONGEST_WORD and word.isascii():
            continue
        bare = word.strip(_MARKS)
        if not bare or any(c.isdigit() or c in "_/\\@#=<>{}[]|" for c in bare):
            continue
        if bare.isascii() and not (bare.islower() or bare.istitle() or bare.isupper()):
            continue
        words.append(word)
        size += len(word) + 1
        if size > most:
            break
    return " ".join(words)


@functools.cache
def _identifier() -> LanguageIdentifier:
    """Read the model of languages once: unpacking it takes half a second."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=0.5)


_NAMES = {
    "ar": "arabic", "bg": "bulgarian", "bn": "bengali", "ca": "catalan", "cs": "czech", "da": "danish", "de": "german",
    "el": "greek", "en": "english", "es": "spanish", "et": "estonian", "fa": "persian", "fi": "finnish", "fr": "french",
    "he": "hebrew", "hi": "hindi", "hr": "croatian", "hu": "hungarian", "id": "indonesian", "it": "italian",
    "ja": "japanese", "ko": "korean", "lt": "lithuanian", "lv": "latvian", "nl": "dutch", "no": "norwegian",
    "pl": "polish", "pt": "portuguese", "ro": "romanian", "ru": "russian", "sk": "slovak", "sl": "slovenian",
    "sr": "serbian", "sv": "swedish", "th": "thai", "tr": "turkish", "uk": "ukrainian", "vi": "vietnamese",
    "zh": "chinese",
}  # fmt: skip


def english_name(code: str) -> str:
    """Return the English name of a language in small letters; the code itself where no name is kept here."""
    return _NAMES.get(code, code)
