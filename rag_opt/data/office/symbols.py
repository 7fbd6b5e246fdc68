"""Characters of symbol fonts as Unicode: Word writes `≤` of the font Symbol as the private character U+F0A3."""

from __future__ import annotations

_PRIVATE = 0xF000  # Windows puts the 256 places of a symbol font from here on
_SYMBOL = {  # the encoding of the font Symbol (Adobe, "Symbol encoding to Unicode", 1999): first place, characters
    0x20: " !∀#∃%&∋()∗+,−./0123456789:;<=>?≅ΑΒΧΔΕΦΓΗΙϑΚΛΜΝΟΠΘΡΣΤΥςΩΞΨΖ[∴]⊥_",
    0x61: "αβχδεφγηιϕκλμνοπθρστυϖωξψζ{|}∼",
    0xA0: "€ϒ′≤⁄∞ƒ♣♦♥♠↔←↑→↓°±″≥×∝∂•÷≠≡≈…⏐⎯↵ℵℑℜ℘⊗⊕∅∩∪⊃⊇⊄⊂⊆∈∉∠∇®©™∏√⋅¬∧∨⇔⇐⇑⇒⇓◊〈®©™∑⎛⎜⎝⎡⎢⎣⎧⎨⎩⎪",
    0xF1: "〉∫⌠⎮⌡⎞⎟⎠⎤⎥⎦⎫⎬⎭",
}
_TABLE = {place + offset: sign for place, signs in _SYMBOL.items() for offset, sign in enumerate(signs)}
_WINGDINGS = {
    0x22: "✂", 0x28: "☎", 0x2A: "✉", 0x46: "☞", 0x4A: "☺", 0x4C: "☹", 0x6C: "●", 0x6E: "■", 0x6F: "□", 0x71: "❑",
    0x75: "◆", 0x76: "❖", 0x77: "◆", 0x9F: "•", 0xA7: "▪", 0xA8: "◻", 0xD8: "➢", 0xDF: "←", 0xE0: "→", 0xE1: "↑",
    0xE2: "↓", 0xE8: "➔", 0xF0: "⇨", 0xFB: "✗", 0xFC: "✓", 0xFD: "☒", 0xFE: "☑",
}  # fmt: skip


def symbol(code: str, font: str) -> str:
    """Return the character at a place, in hexadecimal, of a font; empty where nobody knows which it is."""
    try:
        place = int(code, 16)
    except ValueError:
        return ""
    name = font.casefold()
    known = _WINGDINGS if "wingdings" in name else _TABLE if name in ("symbol", "") else {0xB7: "•"}
    if _PRIVATE <= place < _PRIVATE + 256:
        return known.get(place - _PRIVATE, "")
    named = name in ("symbol", "wingdings") and place < 256
    return known.get(place, "") if named else chr(place) if 32 <= place <= 0x10FFFF else ""


def with_symbols(text: str, font: str) -> str:
    """Return a text in which the private characters of a symbol font are those that a person sees."""
    if not any(_PRIVATE <= ord(letter) < _PRIVATE + 256 for letter in text):
        return text
    return "".join(symbol(f"{ord(letter):X}", font) or letter for letter in text)
