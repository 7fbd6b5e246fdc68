"""E-mails: who wrote to whom about what, and the text; attachments are named."""

from __future__ import annotations

import contextlib
import email
import email.policy
from email.message import EmailMessage, MIMEPart
from pathlib import Path
from typing import ClassVar

from pydantic.dataclasses import dataclass

from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.data.decoding import decode, read_bytes
from rag_opt.data.formats import PackedFormat
from rag_opt.data.html.reading import read_html, write_html
from rag_opt.text.plain_blocks import plain_blocks
from rag_opt.text.reading_writer import ReadingWriter

_HEADERS = ("From", "To", "Cc", "Date")
_HINT_SHARE = 0.5  # of the page's words: a plain text of fewer is none of it
_DEEPEST = 10  # messages in messages


@register("format", "mail")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Mail(PackedFormat):
    """Read an e-mail: its subject as heading, who wrote it when, its text, and mails that it carries."""

    suffixes: ClassVar[tuple[str, ...]] = (".eml",)

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text. Raises Unreadable where the file is no e-mail."""
        message = email.message_from_bytes(read_bytes(path), policy=email.policy.default)
        if not message.keys():
            raise Unreadable("is no e-mail: it has no header")
        writer = ReadingWriter()
        writer.title = _header(message, "Subject")
        _write(writer, message, 1)
        return writer.finish()


def _write(writer: ReadingWriter, message: EmailMessage, depth: int) -> None:
    writer.heading(_header(message, "Subject"), depth)
    lines = [f"{name}: {value}" for name in _HEADERS if (value := _header(message, name))]
    writer.block("metadata", "\n".join(lines))
    _write_body(writer, message)
    for part in message.iter_attachments():
        if part.get_content_maintype() == "text" and not part.is_attachment() and not part.get_filename():
            _write_text(writer, part, _content(part))  # a mail may go on behind its pictures
            continue
        carried = part.get_content() if part.get_content_type() == "message/rfc822" else None
        if isinstance(carried, EmailMessage) and depth < _DEEPEST:
            _write(writer, carried, depth + 1)
        else:
            writer.note("attached files were left out", example=part.get_filename() or part.get_content_type())


def _write_body(writer: ReadingWriter, message: EmailMessage) -> None:
    """Write the plain text, or the page where that says much more: some plain texts only ask for another program."""
    plain, page = (message.get_body(preferencelist=(kind,)) for kind in ("plain", "html"))
    text = _content(plain) if plain is not None else ""
    if page is not None:
        content = _content(page)
        if _HINT_SHARE * len(read_html(content).text.split()) >= len(text.split()):
            plain, text = page, content
    if plain is not None:
        _write_text(writer, plain, text)


def _write_text(writer: ReadingWriter, part: MIMEPart, text: str) -> None:
    if part.get_content_type() == "text/html":
        write_html(writer, text)
    else:
        writer.append(Reading(text, plain_blocks(text)))


def _header(message: EmailMessage, name: str) -> str:
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, TypeError):  # a header that the library cannot read
        return ""


def _content(part: MIMEPart) -> str:
    payload = part.get_payload(decode=True)
    if part.get_content_charset() is None and isinstance(payload, bytes):
        with contextlib.suppress(Unreadable):
            return decode(payload)[0].replace("\r\n", "\n")
    try:
        return str(part.get_content()).replace("\r\n", "\n")
    except (LookupError, UnicodeError, ValueError):  # an encoding that nobody knows
        return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
