"""A plain RAG script with LangChain, as a colleague may have written it; it knows nothing of rag_opt, but for its log.

python langchain_log.py documents.jsonl questions.jsonl log.jsonl FOLDER_OF_MINILM
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.vectorstores import InMemoryVectorStore
from langchain_text_splitters import RecursiveCharacterTextSplitter
from sentence_transformers import SentenceTransformer


class MiniLM(Embeddings):
    def __init__(self, folder: str) -> None:
        self._model = SentenceTransformer(folder, device="cpu")

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self._model.encode(texts, normalize_embeddings=True).tolist()  # type: ignore[no-any-return]  # of an untyped library

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def main(documents: str, questions: str, log: str, folder: str) -> None:
    texts = [json.loads(line) for line in Path(documents).read_text(encoding="utf-8").splitlines()]
    splitter = RecursiveCharacterTextSplitter(chunk_size=1000, chunk_overlap=200)
    pieces = splitter.split_documents([Document(one["text"], metadata={"source": one["id"]}) for one in texts])
    store = InMemoryVectorStore(MiniLM(folder))
    store.add_documents(pieces)
    with Path(log).open("w", encoding="utf-8") as file:
        for line in Path(questions).read_text(encoding="utf-8").splitlines():
            question = json.loads(line)["question"]
            found = store.similarity_search(question, k=4)
            answer = found[0].page_content.split(". ")[0]
            passages = [one.page_content for one in found]
            file.write(json.dumps({"question": question, "answer": answer, "passages": passages}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
