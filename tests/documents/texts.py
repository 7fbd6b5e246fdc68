"""Web pages, books, mails, notebooks, tables and other files that are text inside."""

from __future__ import annotations

import json
import zipfile
from email.message import EmailMessage
from pathlib import Path

from tests.documents.content import Cell, Labelled, cells_of, paragraphs, table, words_of


def site_page(path: Path) -> Labelled:
    """A page of a site: navigation, a cookie box, a foot and hidden parts around an article."""
    texts = paragraphs(61, 3)
    body = "".join(f"<p>{text}</p>" for text in texts)
    path.write_text(
        "<!doctype html><html><head><title>Harbour news</title><style>p {}</style></head><body>"
        "<nav><a href=/>Home</a> <a href=/about>About us</a></nav><div id=cookie-consent>We use cookies. Accept</div>"
        f"<main><h1>News of the week</h1>{body}<div hidden>not shown</div><p style='display:none'>nor this</p></main>"
        "<aside>Read also</aside><footer>Imprint and privacy</footer></body></html>"
    )
    notes = ("navigation, page feet", "hidden text")
    return Labelled(path.name, " ".join(["News of the week", *texts]), notes=notes)


def code_page(path: Path) -> Labelled:
    """Listings, powers, lists that begin at four, texts of pictures, withdrawn prices."""
    text = paragraphs(62, 1)[0]
    path.write_text(
        "<body><h2>Setup</h2><pre>server:\n  tls:\n    enabled: true</pre>"
        f"<p>{text}</p><ol start=4><li>Open the valve.</li><li>Wait a minute.</li></ol>"
        "<img alt='Map of the quay' src=x><p>Cost: <del>40</del> 45 EUR for 10<sup>6</sup> litres</p></body>"
    )
    below = "4. Open the valve. 5. Wait a minute. Map of the quay Cost: 45 EUR for 10^6 litres"
    return Labelled(path.name, f"Setup server: tls: enabled: true {text} {below}", notes=("struck out text",))


def page_with_spans(path: Path) -> Labelled:
    """A table whose cells span rows and columns."""
    path.write_text(
        "<body><table><caption>Models</caption><tr><th>Model<th>Weight<th>Range</tr><tr><td rowspan=2>Alder<td>12 kg"
        "<td>40 km</tr><tr><td>14 kg<td>55 km</tr><tr><td>Birch<td colspan=2>unknown</tr></table></body>"
    )
    cells = (
        Cell("Alder", "Weight", "12 kg"), Cell("Alder", "Weight", "14 kg"), Cell("Alder", "Range", "55 km"),
        Cell("Birch", "Range", "unknown"),
    )  # fmt: skip
    return Labelled(path.name, "Models Model Weight Range Alder 12 kg 40 km 14 kg 55 km Birch unknown", cells)


def book(path: Path) -> Labelled:
    """An EPUB of three chapters."""
    chapters = [(f"Chapter {n}", paragraphs(63 + n, 2)) for n in (1, 2, 3)]
    items = "".join(f'<item id="c{n}" href="c{n}.xhtml" media-type="application/xhtml+xml"/>' for n in (1, 2, 3))
    spine = "".join(f'<itemref idref="c{n}"/>' for n in (1, 2, 3))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        rootfile = '<rootfile full-path="p.opf" media-type="application/oebps-package+xml"/>'
        namespace = 'xmlns="urn:oasis:names:tc:opendocument:xmlns:container" version="1.0"'
        archive.writestr(
            "META-INF/container.xml", f"<container {namespace}><rootfiles>{rootfile}</rootfiles></container>"
        )
        package = 'xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="i"'
        named = '<dc:identifier id="i">x</dc:identifier><dc:title>Tides</dc:title>'
        title = f'<metadata xmlns:dc="http://purl.org/dc/elements/1.1/">{named}</metadata>'
        archive.writestr(
            "p.opf", f"<package {package}>{title}<manifest>{items}</manifest><spine>{spine}</spine></package>"
        )
        for number, (title, texts) in enumerate(chapters, start=1):
            inner = "".join(f"<p>{text}</p>" for text in texts)
            archive.writestr(
                f"c{number}.xhtml",
                f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>{title}</title></head><body><h1>{title}</h1>{inner}</body></html>',
            )
    return Labelled(path.name, " ".join(f"{title} {' '.join(texts)}" for title, texts in chapters))


def mail(path: Path) -> Labelled:
    """A mail with an umlaut in its subject, quoted-printable text and an attachment."""
    message, texts = EmailMessage(), paragraphs(67, 2)
    message["From"], message["To"], message["Subject"] = (
        "Ada <ada@example.org>",
        "Ben <ben@example.org>",
        "Kräne am Kai",
    )
    message.set_content("\n\n".join([*texts, "Das Café öffnet."]), cte="quoted-printable")
    message.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="plan.png")
    path.write_bytes(bytes(message))
    words = ["Kräne am Kai From: Ada <ada@example.org> To: Ben <ben@example.org>", *texts, "Das Café öffnet."]
    return Labelled(path.name, " ".join(words), notes=("attached files",))


def notebook(path: Path) -> Labelled:
    """A notebook with text, code, what it printed, and a picture."""
    text = paragraphs(68, 1)[0]
    picture = {"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORw0KGgo="}}
    printed = {"output_type": "stream", "name": "stdout", "text": ["mean height 4.1\n"]}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": ["# Tides\n", text]},
        {
            "cell_type": "code",
            "metadata": {},
            "execution_count": 1,
            "source": ["print(mean)"],
            "outputs": [printed, picture],
        },
    ]
    path.write_text(json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells}))
    return Labelled(path.name, f"Tides {text} print(mean) mean height 4.1", notes=("pictures of notebooks",))


def separated_values(path: Path) -> Labelled:
    """A table with semicolons and decimal commas, in Windows' western code page."""
    rows = [["Boot", "Länge (m)", "Preis"], ["Möwe", "12,5", "2.400"], ["Krähe", "8,1", "990"], ["Jolle", "5,0", "310"]]
    path.write_bytes("\r\n".join(";".join(row) for row in rows).encode("cp1252"))
    return Labelled(path.name, words_of(rows), cells_of(rows), notes=("text is not UTF-8",))


def rich_text(path: Path) -> Labelled:
    """A file of rich text."""
    texts = paragraphs(69, 2)
    path.write_text("{\\rtf1\\ansi " + "\\par ".join(texts) + "}")
    return Labelled(path.name, " ".join(texts))


def markdown_table(path: Path) -> Labelled:
    """Markdown with front matter, a heading and a long table."""
    rows, text = table(70, 30), paragraphs(71, 1)[0]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines.insert(1, "|---|---|---|---|")
    path.write_text(f"+++\n# no heading\n+++\n\n# Fleet\n\n{text}\n\n" + "\n".join(lines) + "\n")
    return Labelled(path.name, f"no heading Fleet {text} {words_of(rows)}", cells_of(rows))


TEXTS = (site_page, code_page, page_with_spans, book, mail, notebook, separated_values, rich_text, markdown_table)
