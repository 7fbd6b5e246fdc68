"""python -m rag_opt.estimate [key=value ...]: what a search would build, take and show, before anything is spent."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_opt.composing import fail, run
from rag_opt.errors import RagOptError

if TYPE_CHECKING:
    from rag_opt.preparing import Prepared
    from rag_opt.study.estimating import Estimate, Interval

_LINE = "{:<12} {}"


def main() -> None:
    run(estimate)


def estimate(composed: dict[str, Any], conf_folders: list[Path], name_suffix: str) -> None:
    """Prints the estimate. Exits with 2 for input that cannot be used."""
    from rag_opt.preparing import prepare
    from rag_opt.study import estimating

    signal.signal(signal.SIGINT, signal.default_int_handler)  # what a probe builds is removed when it is stopped
    started = time.perf_counter()
    downloads: list[str] = []

    def announce(text: str) -> None:
        downloads.append(text)
        print(_LINE.format("downloads", f"{text}, now: a probe runs every model"), flush=True)

    prepared = prepare(composed, conf_folders=conf_folders, name_suffix=name_suffix, announce=announce)
    preparing = time.perf_counter() - started
    try:
        found = estimating.estimate(
            prepared.search,
            prepared.held_out,
            finalists=prepared.settings.study.finalists,
            startup_seconds=preparing + _IMPORTS_SECONDS,
        )
    except RagOptError as error:
        fail(error)
    for what, said in lines(prepared, found):
        if what != "downloads" or not downloads:
            print(_LINE.format(what, said))


_IMPORTS_SECONDS = 8.0  # until the first trial, and from the last to the end: torch, ragas and MLflow are imported


def lines(prepared: Prepared, found: Estimate) -> list[tuple[str, str]]:
    """What a person should know before a search, label and text."""
    from rag_opt.evaluation.statistics import smallest_gains_in_words

    search = prepared.search
    size, held_out = search.space.size, len(prepared.held_out)
    asking = _asking(prepared)
    stages = sorted(found.by_stage.items(), key=lambda pair: -pair[1])
    return [
        ("space", f"{'endless' if size is None else f'{size:,}'} pipelines; {found.trials} would be tried"),
        ("indexes", f"{_counted(found.indexes)} to build"),
        ("texts", f"{_counted(found.texts)} documents' chunks to embed, {_counted(found.tokens)} tokens with all else"),
        ("model calls", asking or "0: answers and scores of this search need no language model"),
        ("downloads", _downloads(prepared)),
        (
            "time",
            f"{_clock(found.seconds)}: " + ", ".join(f"{name} {took:.0f} s" for name, took in stages if took >= 1),
        ),
        ("money", "what the language model's calls cost" if asking else "0: nothing here is paid for by the call"),
        ("can show", smallest_gains_in_words(held_out or len(search.questions))),
    ]


def _asking(prepared: Prepared) -> str:
    """How often pipelines of the space would ask a language model, in words; empty where none does."""
    from rag_opt.registry import lookup

    space, questions = prepared.search.space, len(prepared.search.questions)
    kinds = [f"{s} {k}" for s in ("query", "reranker") for k in space.tree[s] if "model" in lookup(s, k).needs]
    each = f"{questions} for each pipeline with {' or '.join(kinds)} (hyde: as many times its passages)"
    return f"{each}, but no request twice; their time is not in what follows" if kinds else ""


def _downloads(prepared: Prepared) -> str:
    from rag_opt.study.prospect import model_names

    search = prepared.search
    cards = {name: search.workshop.encoder(name).card for name in model_names(search.space)}
    # reading a card's files downloads them: what is here by now is all that is needed
    return f"none; the models of the space ({len({card.id for card in cards.values()})}) are on this machine"


def _counted(interval: Interval) -> str:
    low, middle, high = (round(value) for value in interval)
    return f"about {middle:,} ({low:,} to {high:,})" if low != high else f"{middle:,}"


def _clock(interval: Interval) -> str:
    low, middle, high = (_minutes(value) for value in interval)
    return f"about {middle} ({low} to {high})"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


if __name__ == "__main__":
    main()
