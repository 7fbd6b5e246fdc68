"""PDFs by docling, whose models find the layout and the tables of a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, ClassVar

from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core.documents import BlockKind
from rag_opt.core.errors import Unreadable
from rag_opt.core.readings import Reading
from rag_opt.core.registry import register
from rag_opt.core.strict import STRICT
from rag_opt.text.reading_writer import ReadingWriter

_KINDS: dict[str, BlockKind] = {
    "caption": "caption", "footnote": "footnote", "page_header": "page head", "page_footer": "page foot",
}  # fmt: skip


@register("reader", "docling")
@dataclass(frozen=True, kw_only=True, config=STRICT)
class Docling:
    """Read PDFs by docling: layout and tables by models, which have to lie on this machine.

    `docling-tools models download` fetches them, and the variable DOCLING_ARTIFACTS_PATH says where they are.
    """

    scans: Annotated[bool, Doc("Recognise the text of pages without a text layer, by docling's own means.")] = False

    suffixes: ClassVar[tuple[str, ...]] = (".pdf",)
    libraries: ClassVar[tuple[str, ...]] = ("docling", "docling-core", "docling-ibm-models")
    isolated: ClassVar[bool] = True

    def read(self, path: Path, *, encoding: str | None) -> Reading:
        """Return the text as docling's models lay it out. Raises Unreadable where it fails, or is not installed."""
        try:
            from docling.datamodel.base_models import InputFormat
            from docling.datamodel.pipeline_options import PdfPipelineOptions
            from docling.document_converter import DocumentConverter, PdfFormatOption
        except ImportError:
            raise Unreadable("docling is not installed; the extra `docling` of rag_opt has it") from None
        options = PdfFormatOption(pipeline_options=PdfPipelineOptions(do_ocr=self.scans))
        try:
            converter = DocumentConverter(format_options={InputFormat.PDF: options})
            converted = converter.convert(str(path)).document
        except Exception as error:  # of any class: its models, their files, its parser
            raise Unreadable(f"is nothing that docling reads: {type(error).__name__}: {error}") from None
        return write_document(converted)


def write_document(document: Any) -> Reading:
    """Return a DoclingDocument, of whose many classes few are looked at here, as a reading."""
    from docling_core.types.doc import ContentLayer

    writer, pages = ReadingWriter(), len(document.pages)
    for item, depth in document.iterate_items(included_content_layers={ContentLayer.BODY, ContentLayer.FURNITURE}):
        if item.prov:
            writer.page(item.prov[0].page_no)
        _write_item(writer, item, item.label.value, depth, document)
    return writer.finish(page_count=pages)


def _write_item(writer: ReadingWriter, item: Any, label: str, depth: int, document: Any) -> None:
    if label in ("table", "document_index"):
        grid = [[cell.text for cell in row] for row in item.data.grid]
        headers = sum(any(cell.column_header for cell in row) for row in item.data.grid)
        writer.table(grid, header_rows=headers or None)
    elif label == "title":
        writer.title = writer.title or item.text
        writer.heading(item.text, 1)
    elif label == "section_header":
        writer.heading(item.text, item.level + 1)
    elif label == "list_item":
        writer.item(item.text, label=item.marker or "-", level=max((depth - 1) // 2, 1))
    elif label == "code":
        writer.code(item.text)
    elif label == "picture":
        writer.note("pictures were left out")
    else:
        writer.block(_KINDS.get(label, "paragraph"), getattr(item, "text", ""))
