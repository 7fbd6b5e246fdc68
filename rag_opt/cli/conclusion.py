"""The end of a search as a person sees it, and what its report says of the inputs."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
from rich.console import Console

from rag_opt.core.secrets import mask
from rag_opt.core.strict import PlainDict
from rag_opt.data.question_lines import describe_origins
from rag_opt.models.cards import common_benchmark
from rag_opt.report.live_display import LiveDisplay
from rag_opt.report.summary import build_summary
from rag_opt.setup.prepare import Prepared
from rag_opt.study.result import Result
from rag_opt.study.space.domains import Choice
from rag_opt.study.trials import Trial
from rag_opt.tracking.places import is_local, tracking_uri
from rag_opt.tracking.views import VIEWS


def conclude(
    prepared: Prepared, trials: list[Trial], result: Result | None, display: LiveDisplay, page: Path | None
) -> None:
    """Print the summary, or why there is no winner."""
    folder, settings = prepared.search.folder, prepared.settings
    if result is None:
        tried = any(trial.state == "COMPLETE" for trial in trials)
        why = "could be scored well enough to win" if tried else "was tried to its end"
        display.console.print(f"No pipeline {why}; see the reasons above.", style="red")
        return
    uri = tracking_uri({"uri": settings.tracking.uri}, Path(settings.outputs))
    ours = uri == tracking_uri({}, Path(settings.outputs)) and "MLFLOW_TRACKING_URI" not in os.environ
    short = f"sqlite:///{Path(settings.outputs).as_posix()}/mlflow.db" if ours else uri
    look = f"python -m mlflow ui --backend-store-uri {short}" if is_local(uri) else mask(uri)
    places = {"report": str(page)} if page is not None else {}
    places["look"] = look if settings.tracking.enabled else "tracking is off"
    if result.keep:
        places["keep"] = f"{result.keep}, so nothing is exported"
    else:
        places["export"] = f"python -m rag_opt.export {folder.path} --out bundle/"
    display.console.print()
    objective_set = prepared.search.objective_set
    objectives = [one.kind for one in (objective_set.optimised, *objective_set.against)]
    made = describe_origins(prepared.dataset.questions)
    display.console.print(build_summary(result, trials, objectives=objectives, places=places, questions=made))


def _addresses(prepared: Prepared) -> dict[str, str]:
    """Return whole addresses of what MLflow shows of a study, as far as they are known yet."""
    settings, path = prepared.settings, prepared.search.folder.path / VIEWS
    uri = tracking_uri({"uri": settings.tracking.uri}, Path(settings.outputs))
    base = "http://127.0.0.1:5000/" if is_local(uri) else f"{mask(uri).rstrip('/')}/"
    known: dict[str, str] = orjson.loads(path.read_bytes()) if path.exists() else {}
    return {name: f"{base}{place}" for name, place in known.items()}


def print_addresses(prepared: Prepared, console: Console) -> None:
    """Print where MLflow shows the trials, their charts, and winner and baseline question by question; unbroken."""
    for name, address in _addresses(prepared).items():
        console.print(f"{name:<20} {address}", soft_wrap=True)


def _prompts(prepared: Prepared) -> dict[str, dict[str, str]]:
    """Return the prompts that pipelines of the space may answer with, by name."""
    search = prepared.search
    domains = [kinds["prompt"] for kinds in search.space.tree.get("generator", {}).values() if "prompt" in kinds]
    names = sorted({str(value) for domain in domains if isinstance(domain, Choice) for value in domain})
    prompts = {name: search.builder.prompts.read(name) for name in names}
    return {name: {"system": prompt.system, "user": prompt.user} for name, prompt in prompts.items()}


def facts_for_the_report(prepared: Prepared) -> PlainDict:
    """Return what the report says of the inputs beside the settings, so that it needs the study's folder alone."""
    search, dataset, parts = prepared.search, prepared.dataset, prepared.split
    embedders = search.space.tree.get("embedder", {})
    domains = [kinds["name"] for kinds in embedders.values() if "name" in kinds]
    names = sorted({str(value) for domain in domains if isinstance(domain, Choice) for value in domain})
    cards = {name: search.builder.cards.read(name) for name in names}
    benchmark = common_benchmark(cards.values(), dataset.corpus.language)
    return {
        "documents": len(dataset.corpus.documents),
        "characters": dataset.corpus.characters,
        "language": dataset.corpus.language,
        "notes": list(prepared.notes),
        "units": {dataset.questions[i].id: parts.units[i] for i in (*parts.search, *parts.held_out)},
        "search_questions": len(parts.search),
        "held_out_questions": len(parts.held_out),
        "objective": search.objective_set.optimised.kind,
        "direction": search.objective_set.optimised.direction,
        "against": [one.kind for one in search.objective_set.against],
        "trials": search.trials,
        "prompts": _prompts(prepared),
        "benchmark": benchmark,
        "models": {
            name: {
                "id": card.id,
                "languages": list(card.languages),
                "reads_tokens": card.reads_tokens,
                "parameters_millions": card.parameters_millions,
                "published": card.published_score(benchmark),
            }
            for name, card in cards.items()
        },
    }
