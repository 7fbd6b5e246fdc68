"""Words that lexical search compares: of any script, whatever their case and form."""

from __future__ import annotations

import functools
import re
import unicodedata
from itertools import pairwise

# what is no part of a word that a person searches: soft hyphens and invisible marks, tatweel, the points of Arabic and
# Hebrew, the dot that `İ` leaves behind when it is folded
_INVISIBLE = "\u00ad\u034f\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff\ufe00-\ufe0f"
_ARABIC = "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
_HEBREW = "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
_DROPPED = re.compile(f"[{_INVISIBLE}{_ARABIC}{_HEBREW}]|(?<=[iI])\u0307")
# Greek in capital letters has no accents, Cyrillic seldom has them
_ACCENTED = re.compile(r"[\u0370-\u03ff\u0400-\u045f\u1f00-\u1fff]")
_GREEK_ACCENTS = "(?<=[\u0370-\u03ff])[\u0300\u0301\u0308\u0313\u0314\u0342\u0345]+"
_ACCENTS = re.compile(f"{_GREEK_ACCENTS}|(?<=[\u0400-\u04ff])[\u0300\u0301]|(?<=[\u0415\u0435])\u0308")

_MARKS = "\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0951-\u0957\u0962\u0963\u0981-\u0d7f"  # vowels of Indic scripts
_HAN = "\u3005\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_UNSPACED = (
    f"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff{_HAN}"  # Thai, Lao, Burmese, Khmer, Japanese, Chinese
)
_HANGUL = "\uac00-\ud7a3"
_SPACED = f"[^\\W{_UNSPACED}{_HANGUL}]"
_WORD = re.compile(rf"[{_UNSPACED}]+|[{_HANGUL}]+|{_SPACED}(?:{_SPACED}|[{_MARKS}])*(?:\+\+|#)?")
_ASCII_WORD = re.compile(r"\w+(?:\+\+|#)?", re.ASCII)
_IS_UNSPACED, _IS_HANGUL, _IS_HAN = (re.compile(f"[{script}]") for script in (_UNSPACED, _HANGUL, _HAN))
_ELISION = re.compile(
    r"\b[^\W\d_]['’](?=\w\w)|(?<=\w)['’][^\W\d_]\b"
)  # l'eau, dog's: a letter that means nothing alone
_PARTS = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z]+\d*|\d+|[^\W\d_A-Za-z]+")

_LONGEST_REMEMBERED = 64  # characters: a stranger's words are of any length


def split_words(text: str) -> list[str]:
    """Return the words of a text as lexical search compares them (NFKC, full case folding), one after another.

    Words of one character count. Where a script has no spaces, every two neighbouring characters are a word, and every
    Chinese character; of Korean words also every two syllables, as particles are written to them; of identifiers of
    code (`snake_case`, `camelCase`) also the parts.
    """
    if "'" in text or "’" in text:
        text = _ELISION.sub(" ", text)
    if text.isascii():
        return [form for word in _ASCII_WORD.findall(text) for form in _forms(word)]
    text = _DROPPED.sub("", unicodedata.normalize("NFKC", text).replace("İ", "i"))
    if _ACCENTED.search(text):
        text = unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFD", text)))
    return [form for word in _WORD.findall(text) for form in _forms(word)]


def _forms(word: str) -> tuple[str, ...]:
    """Return a word as it is compared, and what else it is found by."""
    return _remembered(word) if len(word) <= _LONGEST_REMEMBERED else _find_forms(word)


@functools.lru_cache(maxsize=2**16)  # a corpus has few words, each of them often
def _remembered(word: str) -> tuple[str, ...]:
    return _find_forms(word)


def _find_forms(word: str) -> tuple[str, ...]:
    if _IS_UNSPACED.match(word):
        alone = [character for character in word if len(word) == 1 or _IS_HAN.match(character)]
        return *(a + b for a, b in pairwise(word)), *alone
    if _IS_HANGUL.match(word):
        return word, *(a + b for a, b in pairwise(word) if len(word) > 2)
    names = [name for name in word.split("_") if name]
    parts = [part for name in names for part in ([name] if _is_plain(name) else _PARTS.findall(name))]
    if len(parts) > 1 and ("_" in word or all(len(part) > 1 for part in parts)):  # not iPhone
        return word.casefold(), *(part.casefold() for part in parts)
    return (word.casefold(),)


def _is_plain(name: str) -> bool:
    return name.islower() or name.isupper() or name.istitle() or name.isdigit()
