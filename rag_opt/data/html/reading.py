"""Web pages as readings: what a person sees of them, with headings, lists, tables and code as in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rag_opt.core.documents import BlockKind
from rag_opt.core.readings import Reading
from rag_opt.data.html.inline import BREAK, alternative, collapse, drop, lines_of, raised, text_of, with_spoken
from rag_opt.data.html.tables import is_layout, misplaced, read_grid
from rag_opt.text.markup import DEEPEST, HtmlElement, parse_html, tag_of
from rag_opt.text.numerals import numeral
from rag_opt.text.reading_writer import ReadingWriter

_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_CONTAINERS = frozenset((
    "html", "body", "main", "article", "section", "div", "header", "footer", "nav", "aside", "form", "fieldset",
    "details", "summary", "figure", "center", "address", "dialog", "hgroup", "search", "tbody", "thead", "tfoot", "tr",
    "td", "th", "table", "ul", "ol", "menu", "dl", "dd", "dt", "p", "blockquote", "pre", "figcaption", "caption",
    "legend", "li", "h1", "h2", "h3", "h4", "h5", "h6", "hr",
))  # fmt: skip
_NEVER = ("script", "style", "noscript", "template", "head", "rp", "rtc", "svg", "datalist")
_WITHDRAWN = ("del", "s", "strike")
_FORM_CONTROLS = ("select", "textarea", "button", "input")
_EMBEDDED = ("iframe", "object", "embed", "frame", "audio", "video", "canvas")
_AROUND = ("nav", "aside", "footer")
_AROUND_ROLES = frozenset(("navigation", "banner", "contentinfo", "complementary", "search", "dialog", "alertdialog"))
_CONSENT = re.compile(r"cookie|consent|gdpr", re.IGNORECASE)
_MOST_OF_CONSENT = 1500  # characters of a box about cookies: what holds more is a page with such a box
_UNSEEN_STYLE = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden", re.IGNORECASE)
_TOO_DEEP = f"elements that lie in more than {DEEPEST} others, or behind such, were left out"


def read_html(html: str) -> Reading:
    """Return what can be seen of a page: of its main part or its article alone, where there is one."""
    writer = ReadingWriter()
    write_html(writer, html)
    return writer.finish()


def write_html(writer: ReadingWriter, html: str) -> None:
    """Write the blocks of a page; its title becomes the writer's, where that has none."""
    root, cut = parse_html(html)
    if root is None:
        return
    title = root.find(".//title")
    if title is not None and not writer.title:
        writer.title = title.text_content()
    if cut:
        writer.note(_TOO_DEEP)
    _drop_unseen(root, writer)
    main = _find_main(root, writer)
    _Walk(writer).walk(main)


def _drop_unseen(root: HtmlElement, writer: ReadingWriter) -> None:
    """Take away what nobody sees, or what the page takes back; what held text is noted."""
    for element in [*root.iter(*_NEVER)]:
        drop(element)
    for tags, what in (
        (_WITHDRAWN, "struck out text was left out"),
        (_FORM_CONTROLS, "fields and buttons of forms were left out"),
        (_EMBEDDED, "embedded frames and media were left out"),
    ):
        for element in [*root.iter(*tags)]:
            _drop_noted(element, writer, what)
    for element in [*root.iter()]:
        if tag_of(element) and _is_hidden(element):
            _drop_noted(element, writer, "hidden text was left out")


def _is_hidden(element: HtmlElement) -> bool:
    if tag_of(element) in ("html", "body"):
        return False
    return element.get("hidden") is not None or bool(_UNSEEN_STYLE.search(element.get("style") or ""))


def _find_main(root: HtmlElement, writer: ReadingWriter) -> HtmlElement:
    """Return the part of a page that is its content, without what stands around it on every page of a site."""
    mains = [one for one in root.iter() if tag_of(one) == "main" or one.get("role") == "main"]
    articles = [one for one in root.iter("article") if text_of(one)]
    chosen = next((one for one in mains if text_of(one)), articles[0] if len(articles) == 1 else root)
    what = "navigation, page feet, cookie boxes and what else stands around the content were left out"
    for element in [*root.iter()] if chosen is root else _outside(root, chosen):
        if tag_of(element) and _is_around(element):
            _drop_noted(element, writer, what)
    if chosen is not root and len(text_of(root)) > len(text_of(chosen)):
        writer.note(what)
    return chosen


def _outside(root: HtmlElement, chosen: HtmlElement) -> list[HtmlElement]:
    """Return the elements of a page that neither lie in one of it nor hold it."""
    above, inside = set[HtmlElement](), set(chosen.iter())
    parent: HtmlElement | None = chosen
    while parent is not None:
        above.add(parent)
        parent = parent.getparent()
    return [element for element in root.iter() if element not in inside and element not in above]


def _is_around(element: HtmlElement) -> bool:
    tag = tag_of(element)
    if tag in ("html", "body"):
        return False
    names = f"{element.get('id') or ''} {element.get('class') or ''}"
    inside = element.getparent()
    of_page = tag != "footer" or inside is None or tag_of(inside) not in ("blockquote", "article", "section")
    if "note" in (element.get("epub:type") or "") or "note" in (element.get("role") or ""):  # of a book
        return False
    return (
        (tag in _AROUND and of_page)
        or element.get("role") in _AROUND_ROLES
        or (tag in ("div", "section") and bool(_CONSENT.search(names)) and len(text_of(element)) < _MOST_OF_CONSENT)
    )


def _drop_noted(element: HtmlElement, writer: ReadingWriter, what: str) -> None:
    text = text_of(element)
    if text or tag_of(element) in _EMBEDDED:
        writer.note(what, example=text)
    drop(element)


class _Walk:
    """Goes through a page and writes its blocks; text between them is a paragraph of its own."""

    def __init__(self, writer: ReadingWriter) -> None:
        self._writer = writer
        self._inline: list[str] = []
        self._kinds: list[BlockKind] = ["paragraph"]
        self._items: list[tuple[str, int]] = []  # label and level of an item whose text has not begun yet

    def walk(self, element: HtmlElement) -> None:
        """Write everything in an element."""
        self._inside(element, 0)
        self._flush()

    def _inside(self, element: HtmlElement, depth: int) -> None:
        """Write what an element holds: its text, its children, the text between them."""
        self._inline.append(element.text or "")
        if depth >= DEEPEST:
            self._writer.note(_TOO_DEEP)
            return
        for child in element:
            self._element(child, depth + 1)
            self._inline.append(child.tail or "")

    def _element(self, element: HtmlElement, depth: int) -> None:
        tag = tag_of(element)
        if not tag:  # a comment
            return
        if tag not in _CONTAINERS:
            self._inline_element(element, tag, depth)
            return
        self._flush()
        if tag in _HEADINGS:
            self._writer.heading(self._own_text(element, depth), _HEADINGS[tag])
        elif tag == "pre":
            self._writer.code(lines_of(element))
        elif tag == "table":
            self._table(element, depth)
        elif tag in ("ul", "ol", "menu"):
            self._list(element, depth)
        elif tag == "dl":
            self._definitions(element, depth)
        elif tag in ("blockquote", "figcaption", "caption"):
            self._kinds.append("quotation" if tag == "blockquote" else "caption")
            self._inside(element, depth)
            self._flush()
            self._kinds.pop()
        else:
            self._inside(element, depth)
            self._flush()

    def _inline_element(self, element: HtmlElement, tag: str, depth: int) -> None:
        if tag == "br":
            self._inline.append(BREAK)
        elif tag == "img":
            self._inline.append(alternative(element))
        elif tag == "sup":
            self._inline.append(raised(element, "".join(self._inline)))
        elif tag == "ruby":
            self._inline.append(with_spoken(element))
        elif tag == "math":
            self._inline.append(element.get("alttext") or text_of(element))
        elif tag == "q":
            self._inline.append("“")
            self._inside(element, depth)
            self._inline.append("”")
        else:
            self._inside(element, depth)

    def _own_text(self, element: HtmlElement, depth: int) -> str:
        """Return the text of an element that is written as one line, whatever stands in it."""
        aside, writer = _Walk(ReadingWriter()), ReadingWriter()
        aside._writer = writer
        aside._inside(element, depth)
        aside._flush()
        return " ".join(writer.finish().text.split())

    def _table(self, table: HtmlElement, depth: int) -> None:
        if is_layout(table):
            self._inside(table, depth)
            self._flush()
            return
        for one in misplaced(table):  # a browser shows it above the table
            self._inline.append(one) if isinstance(one, str) else self._element(one, depth + 1)
        self._flush()
        grid = read_grid(table, lambda cell: self._own_text(cell, depth))
        caption = table.find("caption")
        title = self._own_text(caption, depth) if caption is not None else ""
        self._writer.table(grid.rows, header_rows=grid.header_rows or None, caption=title)

    def _list(self, element: HtmlElement, depth: int) -> None:
        level = len(self._items) + 1
        self._inline.append(element.text or "")
        for child, label in _labelled(element):
            if not label:
                self._element(child, depth + 1)
            else:
                self._flush()
                self._items.append((label, level))
                self._inside(child, depth + 1)
                self._flush()
                self._items.pop()
            self._inline.append(child.tail or "")
        self._flush()

    def _definitions(self, element: HtmlElement, depth: int) -> None:
        """Write `term: definition` for each term with one definition, else what there is, item by item."""
        terms = list[str]()
        self._inline.append(element.text or "")
        for child in [one for group in element for one in (group if tag_of(group) == "div" else [group])]:
            tag = tag_of(child)
            if tag in ("dt", "dd"):
                self._flush()
            if tag == "dt":
                terms.append(self._own_text(child, depth))
            elif tag == "dd":
                self._items.append((f"- {', '.join(terms)}:" if terms else "-", len(self._items) + 1))
                terms = []
                self._inside(child, depth + 1)
                self._flush()
                self._items.pop()
            else:
                self._element(child, depth + 1)
            self._inline.append(child.tail or "")
        self._flush()
        for term in terms:
            self._writer.item(term)

    def _flush(self) -> None:
        """Write the text that was collected since the last block."""
        text, self._inline = collapse("".join(self._inline)), []
        if not text:
            return
        if self._items and self._items[-1][0]:
            label, level = self._items[-1]
            self._items[-1] = ("", level)  # what follows in this item has no mark
            self._writer.item(text, label=label, level=level)
        else:
            self._writer.block(self._kinds[-1], text)


def _labelled(element: HtmlElement) -> Iterator[tuple[HtmlElement, str]]:
    """Yield what stands in a list, each item with its label as a browser shows it."""
    numbered, style = tag_of(element) == "ol", element.get("type") or "1"
    items = [child for child in element if tag_of(child) == "li"]
    backwards = numbered and element.get("reversed") is not None
    number = _whole(element.get("start"), len(items) if backwards else 1)
    for child in element:
        if tag_of(child) != "li":
            yield child, ""
        elif not numbered:
            yield child, "-"
        else:
            number = _whole(child.get("value"), number)
            yield child, f"{numeral(number, style)}."
            number += -1 if backwards else 1


def _whole(written: str | None, otherwise: int) -> int:
    return int(written) if written is not None and re.fullmatch(r"\s*-?\d{1,9}\s*", written) else otherwise
