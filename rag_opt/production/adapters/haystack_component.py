"""A bundle as a component of Haystack's pipelines."""

from __future__ import annotations

from haystack import Document, component

from rag_opt.core.strict import PlainDict
from rag_opt.production.passages import PassageSource


@component
class BundleComponent:
    """Returns the passages of a bundle's context, best first. `filters`: of every question, unless a run names others.

    They are those of `Bundle.retrieve`, not Haystack's own.
    """

    def __init__(self, bundle: PassageSource, filters: PlainDict) -> None:
        self._bundle, self._filters = bundle, filters

    @component.output_types(documents=list[Document])
    def run(self, query: str, filters: PlainDict | None = None) -> dict[str, list[Document]]:
        """Return `documents`, the passages for one question."""
        passages = self._bundle.retrieve(query, filters=self._filters if filters is None else filters)
        documents = [
            Document(
                id=f"{one.document}:{one.start}:{one.end}",
                content=one.text,
                meta=self._bundle.describe_passage(one),
                score=one.score,
            )
            for one in passages
        ]
        return {"documents": documents}
