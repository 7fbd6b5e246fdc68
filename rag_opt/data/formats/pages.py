"""HTML as text: what can be seen, headings and list items marked as in Markdown, table cells apart."""

from __future__ import annotations

from typing import Any

_BLOCKS = "p div section article li ul ol table tr h1 h2 h3 h4 h5 h6 pre blockquote br dt dd figure main header footer"
_UNSEEN = ("script", "style", "noscript", "template", "head")


def html_text(html: str) -> str:
    """The visible text of a page: scripts and styles left out, block elements on lines of their own."""
    from lxml import html as reader

    try:
        page: Any = reader.document_fromstring(html.encode(), parser=reader.HTMLParser(encoding="utf-8"))
    except (reader.etree.ParserError, ValueError):
        return ""
    for element in [*page.iter(*_UNSEEN)]:
        element.drop_tree()
    for level in range(1, 7):
        for element in page.iter(f"h{level}"):
            element.text = f"{'#' * level} {element.text or ''}"
    for element in page.iter("li"):
        element.text = f"- {(element.text or '').lstrip()}"
    for element in [*page.iter("td", "th")]:
        if element.find(".//table") is None:  # a cell is one line, whatever stands in it
            whole = " ".join(element.text_content().split())
            for child in [*element]:
                element.remove(child)
            element.text = whole
        if element.getnext() is not None:
            element.tail = f" | {element.tail or ''}"
    for element in page.iter(*_BLOCKS.split()):
        element.text = "\n" + (element.text or "")
        element.tail = "\n" + (element.tail or "")
    lines = (" ".join(line.split()) for line in page.text_content().splitlines())
    kept: list[str] = []
    for line in lines:
        if line.strip("-#| ") or (not line and kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()
