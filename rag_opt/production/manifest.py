"""The manifest of a bundle: every file with its size and hash, and what a person must know of the pipeline.

Format 2 (since 0.2) added the stored questions, text maps, sentence vectors, model identities and required filters;
format 1 is read as it is, without them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from pathlib import Path
from typing import Annotated

import orjson
from annotated_doc import Doc
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.core.strict import STRICT, PlainDict
from rag_opt.production.signing import SIGNATURE
from rag_opt.store.artifacts import MANIFEST, find_damage

FORMAT = 2
_READ_FORMATS = (1, FORMAT)


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelIdentity:
    """Which model a pipeline uses, so that it can be had again."""

    role: Annotated[str, Doc("`embedder`, `reranker` or `language model`.")]
    id: Annotated[str, Doc("Its id on the hub, or its name at its server.")]
    revision: Annotated[str | None, Doc("Revision on the hub, or what a server called the model.")] = None
    url: Annotated[str | None, Doc("Address of the server that runs it; null: it runs in the serving process.")] = None
    path: Annotated[str | None, Doc("Where its files were found; null: on the hub.")] = None
    licence: Annotated[str, Doc("Licence of its weights; empty: not known.")] = ""
    commercial_use: Annotated[bool, Doc("Whether the licence allows commercial use.")] = True
    parameters_millions: Annotated[float | None, Doc("Number of its parameters in millions.")] = None
    files: Annotated[dict[str, str], Doc("BLAKE2b of each of its files; empty where a server runs it.")] = field(
        default_factory=dict
    )


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Manifest:
    """What a bundle says of itself."""

    format: int
    model_files: Annotated[str, Doc("Hash of the embedding model's files, or of a tokenizer where there is none.")]
    files: Annotated[dict[str, dict[str, int | str]], Doc("Size and BLAKE2b of every file.")]
    versions: Annotated[dict[str, str], Doc("Libraries that it was made with.")] = field(default_factory=dict)
    study: Annotated[str, Doc("Name of the study.")] = ""
    trial: Annotated[int | None, Doc("Number of the trial; null: not of a study.")] = None
    dataset: Annotated[PlainDict, Doc("Name, counts and digests of the documents and questions.")] = field(
        default_factory=dict
    )
    questions: Annotated[list[str], Doc("Where the questions came from, in words.")] = field(default_factory=list)
    scores: Annotated[PlainDict, Doc("What the pipeline scored, with intervals.")] = field(default_factory=dict)
    models: Annotated[list[ModelIdentity], Doc("Every model that it uses.")] = field(default_factory=list)
    plugins: Annotated[list[str], Doc("Packages that its parts come from, beside rag_opt.")] = field(
        default_factory=list
    )
    language: Annotated[str, Doc("ISO 639-1 code of the documents; empty: not known.")] = ""
    carries_model: Annotated[bool, Doc("Whether it holds an embedding model that was made for it.")] = False
    carries_weights: Annotated[bool, Doc("Whether it holds a copy of its models' files.")] = False
    sentence_vectors: Annotated[int, Doc("How many sentences its answers are chosen from without encoding.")] = 0
    requires_filter: Annotated[list[str], Doc("Filters that every question must have.")] = field(default_factory=list)
    made_from: Annotated[PlainDict, Doc("Of an updated bundle: what was kept and what changed.")] = field(
        default_factory=dict
    )
    search: Annotated[PlainDict, Doc("Format 1: value and metrics of the trial.")] = field(default_factory=dict)
    held_out: Annotated[PlainDict | None, Doc("Format 1: metrics on the held-out questions.")] = None


def read_manifest(folder: Path, *, check: bool) -> Manifest:
    """Return the manifest of a bundle; `check` compares every file with it.

    Raises BadBundle for a folder that is none, for a file that is missing, changed or not listed, and for a format that
    this version does not read, by its number.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise BadBundle(f"{folder} is not a bundle: there is no {MANIFEST}")
    try:
        data: PlainDict = orjson.loads(path.read_bytes())
        found = data.get("format")
    except (OSError, ValueError, AttributeError) as error:
        raise BadBundle(f"{folder}: {MANIFEST} cannot be read: {error}") from error
    if found not in _READ_FORMATS:
        reads = f"this version reads {' and '.join(map(str, _READ_FORMATS))}"
        newer = isinstance(found, int) and found > FORMAT
        remedy = "install the rag_opt that made it" if newer else "export it again"
        raise BadBundle(f"{folder}: {MANIFEST} cannot be read: format {found!r}, where {reads}: {remedy}")
    damage = find_damage(folder, besides=[SIGNATURE]) if check else ""
    if damage:
        raise BadBundle(f"{folder}: {damage}")
    try:
        return strict.load(Manifest, data, path=MANIFEST)
    except BadInput as error:
        raise BadBundle(f"{folder}: {MANIFEST} cannot be read: {error}") from error


def find_missing_filters(manifest: Manifest, given: Sequence[str]) -> list[str]:
    """Return the filters that every question must have and that are not given."""
    return [name for name in manifest.requires_filter if name not in given]
