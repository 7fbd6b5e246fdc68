"""A pipeline as a value: one part per slot, JSON in, JSON out."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rag_opt.core import strict
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.registry import lookup
from rag_opt.core.strict import PlainDict, PlainMapping
from rag_opt.data.file_readers import Reader
from rag_opt.parts.interfaces import (
    ChunkContext,
    Chunker,
    Embedder,
    EmbedderPart,
    Expander,
    Generator,
    Packer,
    Part,
    Query,
    Reranker,
    Retriever,
)

SpecDict = dict[str, dict[str, PlainDict]]  # slot -> kind -> setting -> value
SLOTS = (
    "reader",
    "chunker",
    "chunk_context",
    "embedder",
    "query",
    "retriever",
    "expander",
    "reranker",
    "packer",
    "generator",
)
# what must be built anew when it changes; all else rearranges what is stored
INDEX_SLOTS = ("reader", "chunker", "chunk_context", "embedder")
# what a pipeline has in slots that it does not name
DEFAULT_PARTS: SpecDict = {
    "reader": {"builtin": {}},
    "chunk_context": {"none": {}},
    "query": {"none": {}},
    "expander": {"none": {}},
}


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """One part per slot. Frozen, comparable, hashable.

    Written as slot -> kind -> settings: `{"chunker": {"fixed": {"size": 160}}}`.
    """

    reader: Reader
    chunker: Chunker
    chunk_context: ChunkContext
    embedder: EmbedderPart
    query: Query
    retriever: Retriever
    expander: Expander
    reranker: Reranker
    packer: Packer
    generator: Generator

    @staticmethod
    def from_dict(data: PlainMapping, *, where: str = "pipeline") -> PipelineSpec:
        """Return the pipeline that plain data describe.

        Raises BadInput with every problem: unknown slots, kinds and settings, values out of range.
        """
        problems = [
            Problem(f"{where}.{slot}", f"there is no slot {slot!r}{suggest_names(slot, SLOTS)}")
            for slot in data
            if slot not in SLOTS
        ]
        parts = {}
        for slot in SLOTS:
            try:
                parts[slot] = part_from(slot, data.get(slot) or DEFAULT_PARTS.get(slot), where=f"{where}.{slot}")
            except BadInput as error:
                problems += error.problems
        if problems:
            raise BadInput(problems)
        return PipelineSpec(**parts)

    def parts(self) -> Iterator[tuple[str, Part]]:
        """Yield every slot with its part."""
        for slot in SLOTS:
            yield slot, getattr(self, slot)

    def to_dict(self) -> SpecDict:
        """Return plain data that `from_dict` turns back into an equal pipeline."""
        return {slot: {part.kind: strict.dump(part)} for slot, part in self.parts()}

    @property
    def uses_llm(self) -> bool:
        """Whether one of its parts asks a language model."""
        return self.chunk_context.uses_llm or self.query.uses_llm or self.reranker.uses_llm or self.generator.uses_llm

    @property
    def embedding_model(self) -> str | None:
        """Name of its embedding model; None where it has none."""
        return self.embedder.name if isinstance(self.embedder, Embedder) else None

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything in it."""
        return digest(self.to_dict())


def spec_digest(spec: SpecDict) -> str:
    """Return the hash of a pipeline's settings, defaults filled in; of one that cannot be, of what is written."""
    try:
        return PipelineSpec.from_dict(spec).digest
    except BadInput:
        return digest(spec)


def part_from(slot: str, data: object, *, where: str) -> Any:
    """Return one part from `{kind: settings}`, or from the bare name of a kind. Raises BadInput."""
    if isinstance(data, str):
        data = {data: {}}
    if not isinstance(data, Mapping) or len(data) != 1:
        given = "nothing" if data is None else repr(data)
        raise BadInput([Problem(where, f"is {given}; should be one kind with its settings, as {{kind: {{…}}}}")])
    ((kind, settings),) = data.items()
    part = lookup(slot, str(kind), where=where)
    return strict.load(part, settings or {}, path=f"{where}.{kind}")
