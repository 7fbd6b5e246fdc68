"""HTML and XML as text. From HTML what can be seen, headings and list items as in Markdown, table cells apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from lxml.etree import _Element


class _HtmlElement(Protocol):
    """The part of lxml's HTML elements that is used here; its stubs do not know them."""

    text: str | None
    tail: str | None

    def __iter__(self) -> Iterator[_HtmlElement]: ...
    def iter(self, *tags: str) -> Iterator[_HtmlElement]: ...
    def find(self, path: str) -> _HtmlElement | None: ...
    def getnext(self) -> _HtmlElement | None: ...
    def remove(self, child: _HtmlElement) -> None: ...
    def drop_tree(self) -> None: ...
    def text_content(self) -> str: ...


_BLOCKS = "p div section article li ul ol table tr h1 h2 h3 h4 h5 h6 pre blockquote br dt dd figure main header footer"
_UNSEEN = ("script", "style", "noscript", "template", "head")


def html_to_text(html: str) -> str:
    """Return the visible text of a page: scripts and styles left out, block elements on lines of their own."""
    from lxml import html as parser

    try:
        root = parser.document_fromstring(html.encode(), parser=parser.HTMLParser(encoding="utf-8"))
    except (parser.etree.ParserError, ValueError):
        return ""
    page = cast(_HtmlElement, root)
    for element in [*page.iter(*_UNSEEN)]:
        element.drop_tree()
    for level in range(1, 7):
        for element in page.iter(f"h{level}"):
            element.text = f"{'#' * level} {element.text or ''}"
    for element in page.iter("li"):
        element.text = f"- {(element.text or '').lstrip()}"
    for element in [*page.iter("td", "th")]:
        if element.find(".//table") is None:  # a cell is one line, whatever stands in it
            content = " ".join(element.text_content().split())
            for child in [*element]:
                element.remove(child)
            element.text = content
        if element.getnext() is not None:
            element.tail = f" | {element.tail or ''}"
    for element in page.iter(*_BLOCKS.split()):
        element.text = "\n" + (element.text or "")
        element.tail = "\n" + (element.tail or "")
    return _without_empty_lines(page.text_content())


def _without_empty_lines(text: str) -> str:
    """Return the lines that say something, white space collapsed; one empty line stays where there were several."""
    kept: list[str] = []
    for line in (" ".join(line.split()) for line in text.splitlines()):
        if line.strip("-#| ") or (not line and kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept).strip()


def parse_xml(content: bytes) -> _Element:
    """Return the root of an XML document. Entities are not resolved, nothing is fetched, small faults are repaired.

    Raises ValueError where there is no XML at all.
    """
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, recover=True)
    root: _Element | None = etree.fromstring(content, parser)
    if root is None:
        raise ValueError("there is no XML in it")
    return root
