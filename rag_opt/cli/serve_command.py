"""The command `serve`: a bundle over HTTP, or held against what the search saw."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_opt.core.errors import BadBundle, BadInput, Problem

if TYPE_CHECKING:
    from rag_opt.production.bundle import Bundle
    from rag_opt.production.service.settings import ServiceSettings

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}


def serve_command(
    bundle: Annotated[Path, typer.Argument(help="The bundle's folder.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all of them.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8000,
    check: Annotated[
        bool, typer.Option("--check", help="Ask stored questions, compare, and end: 1 if any differs.")
    ] = False,
    all_questions: Annotated[bool, typer.Option("--all", help="With --check: all stored questions, not 50.")] = False,
    feedback: Annotated[
        Path | None, typer.Option(help="File that feedback is appended to; none is taken without.")
    ] = None,
    per_minute: Annotated[
        int, typer.Option(min=0, help="Questions a minute of one key or address; 0: any number.")
    ] = 0,
    max_characters: Annotated[int, typer.Option(min=1, help="Longest question.")] = 4000,
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds after which a request gets 504.")] = 30.0,
    cache_mb: Annotated[int, typer.Option(min=1, help="Megabytes of what is remembered of earlier questions.")] = 32,
    origin: Annotated[list[str] | None, typer.Option(help="Origin of pages that browsers may call from.")] = None,
    embedder_url: Annotated[
        str | None, typer.Option(envvar="RAG_OPT_EMBEDDER_URL", help="text-embeddings-inference server to use instead.")
    ] = None,
    collection: Annotated[
        str | None,
        typer.Option(envvar="RAG_OPT_COLLECTION", help="Collection to search instead, as qdrant=http://host:6333."),
    ] = None,
    verify: Annotated[Path | None, typer.Option(help="Public Ed25519 key (PEM) that must have signed it.")] = None,
    plugins: Annotated[list[str] | None, typer.Option(help="Package that its parts may come from.")] = None,
    allow_code: Annotated[list[str] | None, typer.Option(help="Model whose code may run, as id@revision.")] = None,
) -> None:
    """Answer over HTTP from a bundle; callers send a key of RAG_OPT_API_KEYS, where that is set."""
    from rag_opt.production.bundle_reading import load_bundle
    from rag_opt.production.service.settings import ServiceSettings

    keys = read_keys(os.environ.get("RAG_OPT_API_KEYS", ""))
    started = time.perf_counter()
    opened = load_bundle(
        bundle,
        verify=verify,
        plugins=plugins or (),
        allow_code=allow_code or (),
        cache_bytes=cache_mb * 1_000_000,
        embedder_url=embedder_url or None,
        collection=collection or None,
    )
    if check:
        sys.exit(check_bundle(opened, every=all_questions))
    settings = ServiceSettings(
        name=bundle.resolve().name,
        keys=keys,
        feedback=feedback,
        per_minute=per_minute,
        max_characters=max_characters,
        timeout_s=timeout,
        origins=tuple(origin or ()),
    )
    if feedback is not None and not feedback.resolve().parent.is_dir():
        raise BadInput([Problem("--feedback", f"the folder of {feedback} is not there")])
    _serve(opened, settings, host, port, seconds=time.perf_counter() - started)


def read_keys(given: str) -> tuple[str, ...]:
    """Return the keys of a comma-separated list. Raises BadInput for one that is easily guessed."""
    keys = tuple(key.strip() for key in given.split(",") if key.strip())
    for key in keys:
        if len(key) < 16:
            raise BadInput([Problem("RAG_OPT_API_KEYS", f"has a key of {len(key)} characters; at least 16 are wanted")])
    return keys


def check_bundle(opened: Bundle, *, every: bool) -> int:
    """Ask a bundle its stored questions, print what differs from what the search saw, and return the exit code."""
    from rag_opt.production.parity import find_differences, find_differences_of_passages, select_checked

    if not opened.questions:
        raise BadBundle("this bundle holds no questions to be checked by: export it again")
    asked = select_checked(opened, every=every)
    started = time.perf_counter()
    by_model = opened.spec.generator.uses_llm
    different = (find_differences_of_passages if by_model else find_differences)(opened, asked)
    for line in different:
        print(line)
    took = time.perf_counter() - started
    what = "the passages that" if by_model else "what"
    print(f"{len(asked) - len(different)} of {len(asked)} questions return {what} the search saw ({took:.1f} s)")
    return 1 if different else 0


def _serve(opened: Bundle, settings: ServiceSettings, host: str, port: int, *, seconds: float) -> None:
    from rag_opt.production.service.running import run_service

    print(
        f"{settings.name}: files checked and opened in {seconds:.1f} s; http://{host}:{port}/ (Ctrl+C ends it)",
        flush=True,
    )
    if not settings.keys and host not in _LOOPBACK:
        print("anybody who reaches this address may ask: RAG_OPT_API_KEYS=key,key asks for a key", flush=True)
    run_service(opened, settings, host=host, port=port)
