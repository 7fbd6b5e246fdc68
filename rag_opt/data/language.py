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
_UNSURE = "und"


def set_language(dataset: Dataset, given: str | None) -> Dataset:
    """Return the data set with its language, and with a note where it was detected.

    `given`: an ISO 639-1 code, or `unknown`; None: detect it. Raises BadInput for anything else.
    """
    if given is None:
        language = detect_language(dataset.corpus)
        note = (
            f"language: {language}, as most documents look; dataset.language=… says another"
            if language
            else ("language: not clear from the documents; dataset.language=… says it")
        )
    elif given == "unknown" or _CODE.fullmatch(given):
        language, note = "" if given == "unknown" else given, ""
    else:
        raise BadInput([Problem("dataset.language", f"is {given!r}; should be two letters (ISO 639-1), or unknown")])
    notes = (*dataset.notes, note) if note else dataset.notes
    corpus = dataclasses.replace(dataset.corpus, language=language)
    return dataclasses.replace(dataset, corpus=corpus, notes=notes)


def detect_language(corpus: Corpus) -> str:
    """Return the language (ISO 639-1) of most of up to 200 documents, spread over the corpus.

    Empty where no language has a clear majority.
    """
    count = len(corpus.documents)
    rows = [i * count // _MAX_DOCUMENTS for i in range(_MAX_DOCUMENTS)] if count > _MAX_DOCUMENTS else range(count)
    texts = [corpus.documents[row].text[:_MAX_CHARACTERS] for row in rows]
    counts = Counter(_identifier().classify(text)[0] for text in texts if text.strip())
    language, most = counts.most_common(1)[0] if counts else (_UNSURE, 0)
    return str(language) if language != _UNSURE and most >= _CLEAR_MAJORITY * sum(counts.values()) else ""


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
