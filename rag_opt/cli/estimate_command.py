"""The command `estimate`: what a search would build, take and show, before anything is spent."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.cli.composing import fail
from rag_opt.cli.signals import raise_when_stopped
from rag_opt.core.errors import RagOptError
from rag_opt.core.strict import PlainDict

if TYPE_CHECKING:
    from rag_opt.setup.prepare import Prepared
    from rag_opt.study.cost.estimate import Estimate, Quantiles
    from rag_opt.study.cost.model_calls import ModelCalls

_LINE = "{:<12} {}"


def estimate_command(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
    """Print the forecast. Exits with 2 for input that cannot be used."""
    from rag_opt.setup.prepare import prepare
    from rag_opt.study.cost import estimate as estimating
    from rag_opt.study.cost.probe import Allowance

    raise_when_stopped()  # what a probe builds is removed when it is stopped
    started = time.perf_counter()
    downloads: list[str] = []

    def announce(text: str) -> None:
        downloads.append(text)
        print(_LINE.format("downloads", f"{text}, now: a probe runs every model"), flush=True)

    prepared = prepare(composed, conf_folders=conf_folders, name_suffix=name_suffix, announce=announce, reading=print)
    preparing = time.perf_counter() - started
    try:
        found = estimating.estimate(
            prepared.search,
            prepared.held_out,
            finalists=prepared.settings.study.finalists,
            startup_seconds=preparing + _IMPORTS_SECONDS,
            allowance=Allowance(started),
        )
    except RagOptError as error:
        fail(error)
    for what, said in lines(prepared, found):
        if what != "downloads" or not downloads:
            print(_LINE.format(what, said))


_IMPORTS_SECONDS = 8.0  # until the first trial, and from the last to the end: torch, ragas and MLflow are imported


def lines(prepared: Prepared, found: Estimate) -> list[tuple[str, str]]:
    """Return what a person should know before a search, as label and text."""
    from rag_opt.cli.introduction import describe_detectable
    from rag_opt.study.cost.model_calls import forecast_model_calls

    search = prepared.search
    size, held_out = search.space.size, len(prepared.held_out)
    calls = forecast_model_calls(search, held_out=held_out, finalists=prepared.settings.study.finalists)
    stages = sorted(found.by_stage.items(), key=lambda pair: -pair[1])
    return [
        ("space", f"{'endless' if size is None else f'{size:,}'} pipelines; {found.trials} would be tried"),
        ("indexes", f"{_counted(found.indexes)} to build"),
        ("texts", f"{_counted(found.texts)} documents' chunks to embed, {_counted(found.tokens)} tokens with all else"),
        ("model calls", _asking(calls)),
        ("downloads", _downloads(prepared)),
        (
            "time",
            f"{_clock(found.seconds)}: " + ", ".join(f"{name} {took:.0f} s" for name, took in stages if took >= 1),
        ),
        ("money", _money(prepared, calls, found.embedding_usd.high)),
        ("can show", describe_detectable(prepared)),
    ]


def _asking(calls: ModelCalls) -> str:
    """Return how often language models would be asked, in words."""
    if not calls.generator + calls.judge + calls.contexts:
        return "0: answers and scores of this search need no language model"
    each = f"every second that one takes adds {_minutes(calls.seconds_each)} to the time below"
    asked = f"at most about {calls.generator:,.0f} to answer and {calls.judge:,.0f} to judge"
    asked += f", {calls.contexts:,.0f} to situate chunks" if calls.contexts else ""
    return f"{asked}; no request is sent twice; {each}"


def _money(prepared: Prepared, calls: ModelCalls, embedding_usd: float) -> str:
    embedding = f"at most about ${embedding_usd:,.2f} for vectors" if embedding_usd else ""
    hosted = _hosted_rerankers(prepared)
    if hosted:
        embedding = "; ".join(filter(None, [embedding, f"what reranking by {', '.join(hosted)} costs is not counted"]))
    if not calls.generator + calls.judge + calls.contexts:
        return embedding or "0: nothing here is paid for by the call"
    builder, cap = prepared.search.builder, prepared.settings.budget.usd
    priced = any(
        llm_client is not None and llm_client.settings.priced for llm_client in (builder.llm_client, builder.judge)
    )
    said = f"at most about ${calls.usd:,.2f}, by the tokens that such calls usually have" if priced else ""
    unpriced = "0 by the prices of llm and judge (llm.usd_per_million_input_tokens=… sets them)"
    answering = f"{said or unpriced}{f'; budget.usd={cap:g} caps it' if cap else ''}"
    return f"{answering}; {embedding}" if embedding else answering


def _hosted_rerankers(prepared: Prepared) -> list[str]:
    """Return the names of the rerankers of a space that their makers run."""
    from rag_opt.study.cost.forecaster import find_pair_rerankers

    search, cards = prepared.search, prepared.search.builder.rerankers
    named = {part.name for _, part in find_pair_rerankers(search.space)} & {*cards.names()}
    return [name for name in sorted(named) if cards.read(name).hosted]


def _downloads(prepared: Prepared) -> str:
    from rag_opt.study.cost.forecaster import model_names

    search = prepared.search
    cards = {name: search.builder.encoder(name).card for name in model_names(search.space)}
    # reading a card's files downloads them: what is here by now is all that is needed
    return f"none; the models of the space ({len({card.id for card in cards.values()})}) are on this machine"


def _counted(interval: Quantiles) -> str:
    low, middle, high = (round(value) for value in interval)
    return f"about {middle:,} ({low:,} to {high:,})" if low != high else f"{middle:,}"


def _clock(interval: Quantiles) -> str:
    low, middle, high = (_minutes(value) for value in interval)
    return f"about {middle} ({low} to {high})"


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
