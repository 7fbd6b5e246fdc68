"""A bundle as LangChain's retriever."""

from __future__ import annotations

import asyncio

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field

from rag_opt.production.passages import PassageSource


class BundleRetriever(BaseRetriever):
    """Returns the passages of a bundle's context, best first. `filters`: of every question, as of `Bundle.retrieve`."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    bundle: PassageSource
    filters: dict[str, object] = Field(default_factory=dict)

    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        passages = self.bundle.retrieve(query, filters=self.filters)
        return [Document(page_content=one.text, metadata=self.bundle.describe_passage(one)) for one in passages]

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        return await asyncio.to_thread(self._get_relevant_documents, query, run_manager=run_manager.get_sync())
