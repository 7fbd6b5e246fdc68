"""What stands inside a line of a web page: line breaks, pictures, raised and spoken letters."""

from __future__ import annotations

import re

from rag_opt.text.markup import HtmlElement

BREAK = "\x00"  # a <br>, which a line end of the source is not; no page can hold it
_POWER = re.compile(r"^[+−–-]?\d+$")


def text_of(element: HtmlElement) -> str:
    """Return the text of an element in one line."""
    return " ".join(element.text_content().split())


def drop(element: HtmlElement) -> None:
    """Take an element out of its page; what follows it stays."""
    if element.getparent() is not None:
        element.drop_tree()


def collapse(text: str) -> str:
    """Return inline text with white space as a browser shows it; a line break stays."""
    return "\n".join(line for part in text.split(BREAK) if (line := " ".join(part.split())))


def lines_of(element: HtmlElement) -> str:
    """Return the text of an element with the lines and spaces that it is written in."""
    for line_break in [*element.iter("br")]:
        line_break.tail = f"\n{line_break.tail or ''}"
    return element.text_content()


def alternative(element: HtmlElement) -> str:
    """Return what is said of a picture, in brackets."""
    text = " ".join((element.get("alt") or "").split())
    return f" [{text}] " if text else ""


def raised(element: HtmlElement, before: str) -> str:
    """Return raised text so that it cannot be taken for a part of what stands before it."""
    text = text_of(element)
    if element.find(".//a") is not None:
        return f"[{text.strip('[]')}]"
    return f"^{text}" if _POWER.match(text) and (before[-1:].isalnum() or before[-1:] == ")") else text


def with_spoken(ruby: HtmlElement) -> str:
    """Return letters with how they are spoken behind them: 漢字(かんじ)."""
    spoken = [_drop_text(one) for one in [*ruby.iter("rt")]]
    return f"{text_of(ruby)}({''.join(spoken)})" if any(spoken) else text_of(ruby)


def _drop_text(element: HtmlElement) -> str:
    text = text_of(element)
    drop(element)
    return text
