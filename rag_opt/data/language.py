"""What language a corpus is written in: as a person says, or as it looks."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter

from rag_opt.core.documents import Corpus
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset

_DOCUMENTS, _CHARACTERS = 200, 2000
_CODE = re.compile(r"[a-z]{2}")
_CLEAR = 0.6  # of the documents looked at
_UNSURE = "und"


def in_language(dataset: Dataset, given: str | None) -> Dataset:
    """The data set with its language, and a note where it was detected. `given`: an ISO 639-1 code, or `unknown`."""
    if given is None:
        found = detected(dataset.corpus)
        note = (
            f"language: {found}, as most documents look; dataset.language=… says another"
            if found
            else ("language: not clear from the documents; dataset.language=… says it")
        )
    elif given == "unknown" or _CODE.fullmatch(given):
        found, note = "" if given == "unknown" else given, ""
    else:
        raise BadInput([Problem("dataset.language", f"is {given!r}; should be two letters (ISO 639-1), or unknown")])
    notes = (*dataset.notes, note) if note else dataset.notes
    corpus = dataclasses.replace(dataset.corpus, language=found)
    return dataclasses.replace(dataset, corpus=corpus, notes=notes)


def detected(corpus: Corpus) -> str:
    """The language of most of some documents, spread over the corpus; empty where none has a clear majority."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=0.5)
    count = len(corpus.documents)
    rows = [i * count // _DOCUMENTS for i in range(_DOCUMENTS)] if count > _DOCUMENTS else range(count)
    texts = [corpus.documents[row].text[:_CHARACTERS] for row in rows]
    found = Counter(identifier.classify(text)[0] for text in texts if text.strip())
    language, most = found.most_common(1)[0] if found else (_UNSURE, 0)
    return str(language) if language != _UNSURE and most >= _CLEAR * sum(found.values()) else ""


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
    """What a language is called in English, in small letters; the code itself where no name is kept here."""
    return _NAMES.get(code, code)
