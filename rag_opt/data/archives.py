"""Documents that are archives of files (DOCX, PPTX, EPUB, ODF), read up to a limit."""

from __future__ import annotations

import posixpath
import zipfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple, Self

from rag_opt.core.errors import NoText, Unreadable
from rag_opt.text.markup import DEEPEST, parse_xml

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_UNPACKED = 100_000_000  # bytes of all that is read of one document: more is a mistake or an attack
_USUAL = b"http://schemas.openxmlformats.org/"
# namespaces of "Strict Open XML" documents, and those of all others
_STRICT = {
    b"http://purl.oclc.org/ooxml/wordprocessingml/main": _USUAL + b"wordprocessingml/2006/main",
    b"http://purl.oclc.org/ooxml/presentationml/main": _USUAL + b"presentationml/2006/main",
    b"http://purl.oclc.org/ooxml/officeDocument/relationships": _USUAL + b"officeDocument/2006/relationships",
    b"http://purl.oclc.org/ooxml/officeDocument/math": _USUAL + b"officeDocument/2006/math",
    b"http://purl.oclc.org/ooxml/drawingml/": _USUAL + b"drawingml/2006/",
}
_SMALLEST_ARCHIVE = 22  # bytes of an empty one: a smaller file stands for a document, and is none


class Related(NamedTuple):
    """What a part of an archive refers to: the kind of the relation, and the path of the other part."""

    kind: str
    path: str


class Archive:
    """A document that is an archive. Everything that it raises of itself is Unreadable."""

    def __init__(self, path: Path, *, what: str) -> None:
        self._what, self._read = what, 0
        try:
            self._zip = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            if path.stat().st_size < _SMALLEST_ARCHIVE:
                raise NoText(f"is no sound {what}: it has {path.stat().st_size} bytes") from None
            locked = _is_encrypted_office(path)
            problem = "is locked by a password" if locked else f"is no sound {what}: {error}"
            raise Unreadable(problem) from None
        self._names = {info.filename: info for info in self._zip.infolist()}
        if any(info.flag_bits & 1 for info in self._names.values()):
            raise Unreadable("is locked by a password")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._zip.close()

    def __contains__(self, name: str) -> bool:
        return name in self._names

    @property
    def names(self) -> list[str]:
        """Names of the files in it, in their order."""
        return list(self._names)

    def refuse_more_than(self, most: int, *, ending: str) -> None:
        """Raise Unreadable where the files of an ending unpack to more than so many bytes."""
        if sum(info.file_size for name, info in self._names.items() if name.endswith(ending)) > most:
            raise Unreadable(f"unpacks to more than {most // 1_000_000} MB")

    def read(self, name: str) -> bytes:
        """Return the bytes of a file in it. Raises Unreadable where it is missing or broken, or all are too much."""
        if name not in self._names:
            raise Unreadable(f"is no sound {self._what}: it has no {name}")
        self._read += self._names[name].file_size
        if self._read > MAX_UNPACKED:
            raise Unreadable(f"unpacks to more than {MAX_UNPACKED // 1_000_000} MB")
        try:
            return self._zip.read(name)
        except Exception as error:  # a broken one breaks in many ways
            raise Unreadable(f"is no sound {self._what}: {name}: {type(error).__name__}: {error}") from None

    def xml(self, name: str) -> _Element:
        """Return the root of an XML file in it."""
        try:
            content = self.read(name)
            for strict, usual in _STRICT.items() if b"purl.oclc.org" in content[:4000] else ():
                content = content.replace(strict, usual)
            return parse_xml(content)[0]
        except ValueError as error:
            raise Unreadable(f"is no sound {self._what}: {name}: {error}") from None

    def related(self, part: str) -> dict[str, Related]:
        """Return by id what a part of an Office document refers to inside it."""
        folder, name = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        if relations not in self:
            return {}
        related = {}
        for relation in self.xml(relations):
            target = relation.get("Target") or ""
            path = target[1:] if target.startswith("/") else posixpath.normpath(posixpath.join(folder, target))
            if relation.get("TargetMode") != "External":
                kind = str(relation.get("Type")).rpartition("/")[2]
                related[str(relation.get("Id"))] = Related(kind, path)
        return related

    def main_part(self) -> str:
        """Return the path of the part that an Office document begins with."""
        paths = [related.path for related in self.related("").values() if related.kind == "officeDocument"]
        if not paths:
            raise Unreadable(f"is no sound {self._what}: it names no main part")
        return paths[0]

    def title(self) -> str:
        """Return the title that the properties of an Office document give it."""
        if "docProps/core.xml" not in self:
            return ""
        found = self.xml("docProps/core.xml").find(".//{http://purl.org/dc/elements/1.1/}title")
        return (found.text or "") if found is not None else ""


def _is_encrypted_office(path: Path) -> bool:
    """Return whether a file is Microsoft's container of an encrypted document."""
    try:
        with path.open("rb") as file:
            content = file.read(1_000_000)
    except OSError:
        return False
    return content.startswith(b"\xd0\xcf\x11\xe0") and "EncryptedPackage".encode("utf-16-le") in content


def refuse_deep(root: _Element, *, what: str) -> None:
    """Raise Unreadable where elements lie deeper in one another than any document needs."""
    deepest, stack = 0, [(root, 1)]
    while stack:
        element, depth = stack.pop()
        deepest = max(deepest, depth)
        if depth > DEEPEST:
            raise Unreadable(f"is no sound {what}: its elements lie more than {DEEPEST} deep in one another")
        stack += [(child, depth + 1) for child in element]
