"""Embedding on the CPU: batch sizes and number formats, the same texts, in one process."""

from __future__ import annotations

import time

import numpy as np

from rag_opt.composing import conf_folder
from rag_opt.data.python_reference import PythonReference
from rag_opt.parts.embedders.cards import card_folders
from rag_opt.records import Corpus


def _chunks(corpus: Corpus, characters: int, count: int) -> list[str]:
    text = " ".join(document.text for document in corpus.documents)
    return [text[i * characters : (i + 1) * characters] for i in range(count)]


def measure() -> list[tuple[str, str, str]]:
    import torch
    from sentence_transformers import SentenceTransformer

    card = card_folders([conf_folder()]).read("minilm")
    model = SentenceTransformer(str(card.folder), device="cpu")
    half = SentenceTransformer(str(card.folder), device="cpu", model_kwargs={"dtype": torch.bfloat16})
    texts = _chunks(PythonReference().read().corpus, 700, 128)
    tokens = sum(min(len(ids), 256) for ids in model.tokenizer(texts)["input_ids"])
    whole = model.encode(texts, batch_size=16, normalize_embeddings=True)
    rows = []
    for name, one in (("fp32", model), ("bf16", half)):
        for size in (8, 16, 32, 64):
            one.encode(texts[:8], batch_size=size)
            started = time.perf_counter()
            made = np.asarray(one.encode(texts, batch_size=size), np.float32)
            speed = tokens / (time.perf_counter() - started)
            made /= np.linalg.norm(made, axis=1, keepdims=True)
            cosine = float((made * whole).sum(axis=1).min())
            what = f"MiniLM, {name}, batches of {size} texts of about {tokens // len(texts)} tokens"
            rows.append((what, f"{speed:,.0f} tokens/s, cosine at least {cosine:.4f}", ""))
    return rows
