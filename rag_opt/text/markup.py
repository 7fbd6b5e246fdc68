"""HTML and XML as trees, by lxml."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from lxml.etree import _Element

DEEPEST = 200  # elements inside one another: more than any page needs, fewer than parsers and this program bear


class HtmlElement(Protocol):
    """The part of lxml's HTML elements that is used here; its stubs do not know them."""

    tag: object
    text: str | None
    tail: str | None

    def __iter__(self) -> Iterator[HtmlElement]:
        """Yield the children."""
        ...

    def iter(self, *tags: str) -> Iterator[HtmlElement]:
        """Yield the element and all in it, of some names."""
        ...

    def find(self, path: str) -> HtmlElement | None:
        """Return the first element at a path."""
        ...

    def get(self, name: str) -> str | None:
        """Return an attribute."""
        ...

    def getparent(self) -> HtmlElement | None:
        """Return what it lies in."""
        ...

    def drop_tree(self) -> None:
        """Take it away, and keep the text behind it."""
        ...

    def text_content(self) -> str:
        """Return all text in it."""
        ...


def parse_html(html: str) -> tuple[HtmlElement | None, bool]:
    """Return the root of a page, and whether anything was nested so deep that the parser left it out.

    None where there is no element at all.
    """
    from lxml import html as parser

    reading = parser.HTMLParser(encoding="utf-8", huge_tree=True)
    try:
        root = parser.document_fromstring(html.encode("utf-8", "replace"), parser=reading)
    except (parser.etree.ParserError, ValueError):
        return None, False
    cut = any("depth" in entry.message.lower() for entry in reading.error_log)
    return cast(HtmlElement, root), cut


def tag_of(element: HtmlElement) -> str:
    """Return the name of an element in small letters; empty for a comment."""
    return element.tag.lower() if isinstance(element.tag, str) else ""


def parse_xml(content: bytes, *, encoding: str | None = None) -> tuple[_Element, list[str]]:
    """Return the root of an XML document, and in words the faults of it that were repaired.

    Nothing is fetched; entities that the document itself defines are resolved, up to the parser's limit. `encoding`:
    the one to be used, whatever the document says. Raises ValueError where there is no XML at all.
    """
    from lxml import etree

    # the stubs know no other value than True and False
    parser = etree.XMLParser(resolve_entities="internal", no_network=True, recover=True, encoding=encoding)  # type: ignore[arg-type]
    root: _Element | None = etree.fromstring(content, parser)
    if root is None:
        raise ValueError("there is no XML in it")
    faults = [f"{entry.message} in line {entry.line}" for entry in parser.error_log if entry.level_name != "WARNING"]
    return root, faults
