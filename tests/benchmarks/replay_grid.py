"""A table as a search meets it: values of pipelines, and what the stages that are missing cost."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rag_opt.pipeline.spec import SpecDict
from tests.benchmarks.replay_tables import CUTS, SPACE, Table, products, rankings

BUDGETS = (0.02, 0.05, 0.10)  # shares of the cost of the whole grid with a cache
WORK = 1e5


@functools.lru_cache(maxsize=4)
def _table(path: Path) -> Table:
    return Table.load(path)


class Grid:
    """A table as a search meets it: the value of a pipeline, and what its missing stages cost."""

    def __init__(self, path: Path, seed: int) -> None:
        table = _table(path)
        answered = ~np.isnan(table.values.reshape(-1, table.values.shape[-1]).astype(np.float32)).any(axis=0)
        values = table.values[..., answered].astype(np.float32)
        searched = np.random.default_rng(seed).permutation(values.shape[-1]) < 0.6 * values.shape[-1]
        self.search, self.held_out = values[..., searched].mean(axis=-1), values[..., ~searched].mean(axis=-1)
        self.error = float(values[..., searched].std(axis=-1).mean() / np.sqrt(searched.sum()))
        self.per_question = values[..., searched]
        self.seconds = table.seconds
        self.names = list(SPACE["embedder"]["model"]["name"])
        self.models = {"minilm": 0, "minilm_128": 0, "static": 2}
        self.chunkers = {repr(one): i for i, one in enumerate(products("chunker"))}
        self.rankings = {_without_cut(one): i for i, one in enumerate(rankings())}
        self.rerankers = {repr(one): i for i, one in enumerate(products("reranker"))}
        self.words = sorted({(s["k1"], s["b"]) for kind, s in rankings() if kind == "lexical"})
        embed = table.seconds["embed"][:, [0, 2]].sum()
        stages = sum(array.sum() for name, array in table.seconds.items() if name not in ("embed", "setting"))
        self.cost = float(embed + stages + (table.seconds["setting"] * np.prod(self.search.shape[2:])).sum())
        self.place = functools.cache(self._place)

    def _place(self, spec: str) -> tuple[int, ...]:
        parts = {slot: next(iter(part.items())) for slot, part in ast.literal_eval(spec).items()}
        retriever = parts["retriever"]
        return (
            self.chunkers[repr(parts["chunker"])],
            self.names.index(parts["embedder"][1]["name"]),
            self.rankings[_without_cut(retriever)],
            self.rerankers[repr(parts["reranker"])],
            CUTS.index(retriever[1]["top_k"]),
        )

    def stages(self, spec: SpecDict) -> Iterator[tuple[tuple[Any, ...], str, float, float]]:
        """(key, name, work, seconds) of every stage."""
        chunker, embedder, _, reranker, _ = self.place(repr(spec))
        ((kind, settings),) = spec["retriever"].items()
        ((chunks, cut),) = spec["chunker"].items()
        tokens = WORK / (1 - cut.get("overlap", 0.0))
        count = tokens / cut["size"]
        yield ("chunk", chunker), f"chunk {chunks}", WORK, self.seconds["chunk"][chunker, 0]
        if kind != "lexical" or reranker > 0:
            model = self.models[self.names[embedder]]
            took = self.seconds["embed"][chunker, model]
            yield ("embed", chunker, model), f"embed {self.names[model]}", tokens, took
            yield ("vectors", chunker, embedder), "index chroma", count, self.seconds["vectors"][chunker, embedder]
        if kind != "lexical":
            took = self.seconds["ask_vectors"][chunker, embedder]
            yield ("ask_vectors", chunker, embedder), "search chroma", 1.0, took
        if kind != "dense":
            words = self.words.index((settings.get("k1", 1.2), settings.get("b", 0.75)))
            yield ("words", chunker, words), "index bm25", count, self.seconds["words"][chunker, words]
            yield ("ask_words", chunker, words), "search bm25", 1.0, self.seconds["ask_words"][chunker, words]

    def sweep(self, spec: SpecDict) -> list[SpecDict]:
        """The three best distinct settings of the default lists on this index, without a reranker."""
        chunker, embedder = self.place(repr(spec))[:2]
        found = []
        for (kind, settings), row in zip(rankings(), range(len(rankings())), strict=True):
            if (settings.get("k1", 1.2), settings.get("b", 0.75)) != (1.2, 0.75):
                continue
            cut = int(self.search[chunker, embedder, row, 0].argmax())
            found.append((self.search[chunker, embedder, row, 0, cut], {kind: {**settings, "top_k": CUTS[cut]}}))
        found.sort(key=lambda pair: -pair[0])
        return [{**spec, "retriever": retriever, "reranker": {"none": {}}} for _, retriever in found[:3]]


def _without_cut(retriever: tuple[str, dict[str, Any]]) -> str:
    kind, settings = retriever
    return repr((kind, sorted((k, v) for k, v in settings.items() if k != "top_k")))
