"""A bundle as LlamaIndex's retriever."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from rag_opt.production.passages import PassageSource


class BundleRetriever(BaseRetriever):
    """Returns the passages of a bundle's context, best first. `filters`: of every question, as of `Bundle.retrieve`."""

    def __init__(self, bundle: PassageSource, filters: Mapping[str, object]) -> None:
        super().__init__()
        self._bundle, self._bundle_filters = bundle, dict(filters)

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        found = []
        for one in self._bundle.retrieve(query_bundle.query_str, filters=self._bundle_filters):
            node = TextNode(
                id_=f"{one.document}:{one.start}:{one.end}",
                text=one.text,
                start_char_idx=one.start,
                end_char_idx=one.end,
                metadata=self._bundle.describe_passage(one),
            )
            found.append(NodeWithScore(node=node, score=one.score))
        return found

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return await asyncio.to_thread(self._retrieve, query_bundle)
