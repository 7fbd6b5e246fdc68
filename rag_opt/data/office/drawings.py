"""Charts and diagrams of Office documents: their titles, names and values as tables and lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rag_opt.data.archives import Archive
from rag_opt.text.reading_writer import ReadingWriter

if TYPE_CHECKING:
    from lxml.etree import _Element

A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
_SHEET = "{http://schemas.openxmlformats.org/drawingml/2006/spreadsheetDrawing}"
_DIAGRAM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"


def write_drawings(writer: ReadingWriter, archive: Archive, part: str, element: _Element) -> None:
    """Write the charts and diagrams that an element of a part of a document refers to."""
    related = archive.related(part)
    for chart in element.iter(f"{C}chart"):
        target = related.get(str(chart.get(f"{R}id")))
        if target is not None and target.path in archive:
            _write_chart(writer, archive.xml(target.path))
    for diagram in element.iter(f"{_DIAGRAM}relIds"):
        target = related.get(str(diagram.get(f"{R}dm")))
        if target is not None and target.path in archive:
            for point in archive.xml(target.path).iter(f"{_DIAGRAM}pt"):
                writer.item(" ".join("".join(text.text or "" for text in p.iter(f"{A}t")) for p in point.iter(f"{A}p")))


def drawn_texts(archive: Archive, part: str) -> Iterator[str]:
    """Yield what is written on a sheet beside its cells: text boxes and titles of charts, whose values are cells."""
    related = archive.related(part)
    for drawing in (one.path for one in related.values() if one.kind == "drawing" and one.path in archive):
        root, targets = archive.xml(drawing), archive.related(drawing)
        for box in root.iter(f"{_SHEET}sp"):
            yield "\n".join("".join(text.text or "" for text in p.iter(f"{A}t")) for p in box.iter(f"{A}p")).strip()
        for chart in root.iter(f"{C}chart"):
            target = targets.get(str(chart.get(f"{R}id")))
            if target is not None and target.path in archive:
                titles = archive.xml(target.path).iter(f"{C}title")
                yield " – ".join(filter(None, (_words(title) for title in titles)))


def _write_chart(writer: ReadingWriter, chart: _Element) -> None:
    """Write a chart as a table: a row for each category, a column for each series."""
    title = chart.find(f".//{C}chart/{C}title")
    titles = [_words(one) for one in chart.iter(f"{C}title") if one is not title]
    series = [*chart.iter(f"{C}ser")]
    names = [_values(one.find(f"{C}tx")) for one in series]
    categories: dict[int, str] = {}
    for one in series:
        for kind in ("cat", "xVal"):
            categories |= {place: text for place, text in _values(one.find(f"{C}{kind}")).items() if text}
    columns = [_values(one.find(f"{C}val")) or _values(one.find(f"{C}yVal")) for one in series]
    places = sorted({*categories, *(place for column in columns for place in column)})
    header = ["", *(name.get(0, f"Series {number}") for number, name in enumerate(names, start=1))]
    rows = [[categories.get(place, ""), *(column.get(place, "") for column in columns)] for place in places]
    caption = " – ".join(filter(None, [_words(title) if title is not None else "", *titles]))
    if rows:
        writer.table([header, *rows], header_rows=1, caption=caption)
    else:
        writer.block("caption", caption)


def _words(element: _Element) -> str:
    texts = [text.text or "" for text in element.iter(f"{A}t")] or [v.text or "" for v in element.iter(f"{C}v")]
    return " ".join("".join(texts).split())


def _values(element: _Element | None) -> dict[int, str]:
    """Return the texts of a chart's cache by their place."""
    if element is None:
        return {}
    points = {}
    for point in element.iter(f"{C}pt"):
        value = point.find(f"{C}v")
        points[int(point.get("idx") or 0)] = _number(value.text or "") if value is not None else ""
    if not points and (direct := element.find(f"{C}v")) is not None:
        points[0] = direct.text or ""
    return points


def _number(text: str) -> str:
    """Return a number as people write it: 0.1, where the file has 0.10000000000000001."""
    try:
        return f"{float(text):.12g}" if len(text) > 12 and "." in text else text
    except ValueError:
        return text
