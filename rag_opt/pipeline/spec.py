"""A pipeline as a value: one part per slot, JSON in, JSON out."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rag_opt.core import strict as config
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import lookup

SLOTS = ("chunker", "embedder", "query", "retriever", "expander", "reranker", "packer", "generator")
LEFT_OUT: dict[str, dict[str, dict[str, Any]]] = {
    "query": {"none": {}},
    "expander": {"none": {}},
}  # what a pipeline that does not name these slots has


@dataclass(frozen=True, kw_only=True)
class PipelineSpec:
    """Frozen, comparable, hashable. Written as slot -> kind -> settings: `{"chunker": {"fixed": {"size": 160}}}`."""

    chunker: Any
    embedder: Any
    query: Any
    retriever: Any
    expander: Any
    reranker: Any
    packer: Any
    generator: Any

    @staticmethod
    def from_dict(data: Mapping[str, Any], *, where: str = "pipeline") -> PipelineSpec:
        """Raises BadInput with every problem: unknown slots, kinds and settings, values out of range."""
        problems = [
            Problem(f"{where}.{slot}", f"there is no slot {slot!r}{among(slot, SLOTS)}")
            for slot in data
            if slot not in SLOTS
        ]
        parts = {}
        for slot in SLOTS:
            try:
                parts[slot] = part_from(slot, data.get(slot) or LEFT_OUT.get(slot), where=f"{where}.{slot}")
            except BadInput as error:
                problems += error.problems
        if problems:
            raise BadInput(problems)
        return PipelineSpec(**parts)

    def to_dict(self) -> dict[str, dict[str, dict[str, Any]]]:
        parts = {slot: getattr(self, slot) for slot in SLOTS}
        return {slot: {part.kind: config.dump(part)} for slot, part in parts.items()}

    @functools.cached_property
    def digest(self) -> str:
        return digest(self.to_dict())


def part_from(slot: str, data: Any, *, where: str) -> Any:
    """One part from `{kind: settings}`, or from the bare name of a kind."""
    if isinstance(data, str):
        data = {data: {}}
    if not isinstance(data, Mapping) or len(data) != 1:
        given = "nothing" if data is None else repr(data)
        raise BadInput([Problem(where, f"is {given}; should be one kind with its settings, as {{kind: {{…}}}}")])
    ((kind, settings),) = data.items()
    part = lookup(slot, str(kind), where=where)
    return config.load(part, settings or {}, path=f"{where}.{kind}")
