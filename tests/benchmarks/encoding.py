"""Embedding: every runtime of this machine on the same texts, against bare matrix products in the same process."""

from __future__ import annotations

import time

import numpy as np

from rag_opt.cli.composing import conf_folder
from rag_opt.data.datasets.python_reference import PythonReference
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.encoder import Encoder
from rag_opt.models.runtimes import Machine, Precision
from rag_opt.store.values import MemoryValues

_TOKENS = 256
_TEXTS = 168


def measure() -> list[tuple[str, str, str]]:
    card = embedder_card_library([conf_folder()]).read("minilm")
    texts = _texts(Encoder(card, values=MemoryValues()))
    rows, plain = [], None
    bare = {precision: _bare_tokens_per_second(precision) for precision in ("float32", "bfloat16")}
    for precision, speed in bare.items():
        rows.append(
            (f"bare {precision} products of MiniLM's shapes, {_TOKENS}-token texts", f"{speed:,.0f} tokens/s", "")
        )
    for runtime in ("torch", "openvino"):
        for precision in ("float32", "bfloat16"):
            machine = Machine(device="cpu", runtime=runtime, document_precision=precision)  # type: ignore[arg-type]
            encoder = Encoder(card, values=MemoryValues(), machine=machine)
            encoder.vectors(["warm", *texts[:8]], "document")
            started = time.perf_counter()
            made = encoder.vectors(texts[8:], "document")
            speed = _TOKENS * len(texts[8:]) / (time.perf_counter() - started)
            plain = made if plain is None else plain
            cosine = float((made * plain).sum(axis=1).min())
            share = speed / bare["bfloat16"]
            what = f"MiniLM by {runtime} in {precision}, {_TOKENS}-token texts"
            rows.append(
                (what, f"{speed:,.0f} tokens/s ({share:.0%} of bare bfloat16), cosine at least {cosine:.4f}", "")
            )
    chosen = Encoder(card, values=MemoryValues()).runtime
    rows.append(("… chosen here by itself", f"{chosen.library}, {chosen.precision}", "40 % of bare bfloat16"))
    return rows


def _texts(encoder: Encoder) -> list[str]:
    """Distinct texts of exactly the length that is measured, special tokens included."""
    text = " ".join(document.text for document in PythonReference().read().corpus.documents)
    starts = encoder.tokenizer.starts(text)
    size = _TOKENS - 2
    found = []
    for number in range(_TEXTS):
        begin, end = starts[number * size], starts[(number + 1) * size]
        found.append(text[begin:end])
    return found


def _bare_tokens_per_second(precision: Precision) -> float:
    """The matrix products of six layers of width 384 (four of attention, two of 1536), eight texts, nothing else."""
    import torch

    dtype = getattr(torch, precision)
    rows = 8 * _TOKENS
    shapes = [(384, 384)] * 4 + [(384, 1536), (1536, 384)]
    inputs = {width: torch.randn(rows, width, dtype=dtype) for width in (384, 1536)}
    weights = [torch.randn(shape, dtype=dtype) for shape in shapes * 6]
    queries, keys = (torch.randn(8 * 12, _TOKENS, 32, dtype=dtype) for _ in range(2))
    times = []
    for _ in range(12):
        started = time.perf_counter()
        for number, weight in enumerate(weights):
            inputs[weight.shape[0]] @ weight
            if number % 6 == 0:  # attention's two products, once a layer
                (queries @ keys.transpose(1, 2)) @ keys
        times.append(time.perf_counter() - started)
    return rows / float(np.median(times))
