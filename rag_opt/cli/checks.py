"""The command `check`: what a search would refuse, and the machine, in one list."""

from __future__ import annotations

import dataclasses
import os
import shutil
import socket
import sys
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rag_opt.cli.composing import announce, compose_and_run
from rag_opt.core.errors import BadInput, RagOptError

if TYPE_CHECKING:
    from rag_opt.core.strict import PlainDict

_ENOUGH_DISK_BYTES = 2_000_000_000
_CHECK_TOKENS = 8
_SLOW_S = 10.0


def main() -> None:
    """Check the config of the command line, or with --judge the judge against labels."""
    labels, injections = _labels(sys.argv)
    if labels is None:
        compose_and_run(check)
        return

    def judged(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
        from rag_opt.cli.judge_check import check_judge

        check_judge(Path(labels), injections=injections, composed=composed, conf_folders=conf_folders)

    compose_and_run(judged)


def _labels(arguments: list[str]) -> tuple[str | None, bool]:
    """Take `--judge FILE` and `--injections` out of the arguments, which Hydra does not know, and return them."""
    injections = "--injections" in arguments
    if injections:
        arguments.remove("--injections")
    for place, one in enumerate(arguments):
        if one.startswith("--judge="):
            del arguments[place]
            return one.partition("=")[2], injections
        if one == "--judge" and place + 1 < len(arguments):
            found = arguments[place + 1]
            del arguments[place : place + 2]
            return found, injections
    return None, injections


def check(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
    """Print one line for each thing that is checked. Exits with 2 when a search could not start."""
    failed = False
    try:
        lines = [*_input(composed, conf_folders, name_suffix)]
    except BadInput as error:
        failed = True
        lines = [("PROBLEM", str(problem)) for problem in error.problems]
    looks: list[Callable[[PlainDict], tuple[str, str]]] = [_disk, _device, _tracking]
    lines += [look(composed) for look in looks] + ([] if failed else _models(composed))
    failed |= any(state == "PROBLEM" for state, _ in lines)
    for state, what in lines:
        print(f"{state:<8} {what}")
    if failed:
        sys.exit(2)


def _input(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> list[tuple[str, str]]:
    from rag_opt.cli.introduction import describe_detectable
    from rag_opt.setup.prepare import prepare

    prepared = prepare(
        composed, conf_folders=conf_folders, name_suffix=name_suffix, announce=announce, reading=announce
    )
    dataset, search = prepared.dataset, prepared.search
    held_out = len(prepared.held_out)
    size = search.space.size
    gains = describe_detectable(prepared)
    lines = [
        (
            "ok",
            f"dataset {dataset.name}: {len(dataset.corpus.documents)} documents, {len(dataset.questions)} questions",
        ),
        (
            "ok",
            f"questions: {len(search.questions)} to search on, {held_out} held out; {prepared.split.basis}",
        ),
        (
            "ok",
            f"space: {'endless' if size is None else f'{size:,}'} pipelines; sampler {search.sampler.kind}",
        ),
        (
            "ok",
            f"objective: {search.objective_set.optimised.kind}; {gains}",
        ),
    ]
    lines += [("note", note) for note in prepared.notes]
    cut = search.builder.truncated_chunks(search.baseline)
    if cut:
        lines.append(("note", f"{cut} chunks of the baseline are longer than {search.baseline.embedding_model} reads"))
    bound = search.folder.path / "study.json"
    if bound.exists():
        lines.append(("note", f"{search.folder.path} exists: the search would resume it"))
    return lines


def _models(composed: PlainDict) -> list[tuple[str, str]]:
    """Return whether each language model answers: it is asked for one word."""
    import time

    from rag_opt.core import strict
    from rag_opt.models.llm.client import LLMClient, NoMessage
    from rag_opt.models.llm.settings import Judge, LanguageModel, Request, resolve_judge
    from rag_opt.store.values import MemoryValues

    generator = strict.load(LanguageModel, composed.get("llm") or {}, path="llm")
    judge, lines = strict.load(Judge, composed.get("judge") or {}, path="judge"), list[tuple[str, str]]()
    asked = [("llm", generator), *([("judge", resolve_judge(judge, generator))] if not judge.is_generator else [])]
    for name, model in asked:
        if not model.configured:
            continue
        started = time.perf_counter()
        few = None if model.max_tokens is None else min(model.max_tokens, _CHECK_TOKENS)  # null: none may be sent
        client = LLMClient(dataclasses.replace(model, max_tokens=few), MemoryValues(), who=name)
        try:
            client.complete([Request([{"role": "user", "content": "Say yes."}])])
        except NoMessage:  # it lives: so few tokens may all have gone into thinking
            pass
        except RagOptError as error:
            lines.append(("PROBLEM", f"{name}: {error}"))
            continue
        took_s = time.perf_counter() - started
        slow = f"; slow: llm.timeout_s={model.timeout_s:g} is the limit" if took_s > _SLOW_S else ""
        lines.append(("ok", f"{name}: {model.model} at {model.base_url} answered in {took_s:.1f} s{slow}"))
    return lines


def _disk(composed: PlainDict) -> tuple[str, str]:
    place = Path(str(composed.get("outputs", "outputs"))).resolve()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if not os.access(place, os.W_OK):
        return "PROBLEM", f"outputs: {place} cannot be written"
    state = "ok" if free >= _ENOUGH_DISK_BYTES else "note"
    return state, f"disk: {free / 1e9:.1f} GB free below {place}"


def _device(composed: PlainDict) -> tuple[str, str]:
    from rag_opt.models.devices import describe_device

    found, text = describe_device(str(composed.get("device", "auto")))
    return "ok" if found else "PROBLEM", f"device: {text}"


def _tracking(composed: PlainDict) -> tuple[str, str]:
    from rag_opt.tracking.places import is_local, tracking_uri

    settings = composed.get("tracking") or {}
    if not settings.get("enabled", True):
        return "note", "tracking: off"
    uri = tracking_uri(settings, Path(str(composed.get("outputs", "outputs"))))
    shown = urllib.parse.urlsplit(uri)
    if is_local(uri) or not shown.hostname:
        return "ok", f"tracking: {uri}"
    place = f"{shown.scheme}://{shown.hostname}:{shown.port or 443}"  # without any password in it
    try:
        with socket.create_connection(
            (shown.hostname, shown.port or (80 if shown.scheme == "http" else 443)), timeout=5
        ):
            return "ok", f"tracking: {place} answers"
    except OSError as error:
        return (
            "note",
            f"tracking: {place} does not answer ({error}); results would wait in the study's outbox",
        )
