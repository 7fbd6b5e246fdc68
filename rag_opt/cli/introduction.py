"""The introduction of a search: what will be searched, on which questions, and what these can show."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console

from rag_opt.core.strict import PlainMapping
from rag_opt.evaluation.detectable_gain import describe_smallest_gains
from rag_opt.setup.prepare import Prepared


def introduce(prepared: Prepared, console: Console) -> None:
    """Print the data, the notes, the space and the objective, before anything is spent."""
    search, dataset, say = prepared.search, prepared.dataset, console.print
    size = search.space.size
    held_out = len(prepared.held_out)
    characters = dataset.corpus.characters
    say(
        f"[bold]{search.folder.name}[/]  {len(dataset.corpus.documents)} documents, {characters:,} characters, "
        f"{len(dataset.questions)} questions: {len(search.questions)} to search on, {held_out} held out until the end"
    )
    say(prepared.split.basis, style="dim")
    for note in [*prepared.notes, *search.builder.store.take_notes()]:
        say(f"note: {note}", style="yellow")
    say(f"space: {'endless' if size is None else f'{size:,}'} pipelines")
    for line in _space_lines(search.space.to_dict()):
        say(line, style="dim", soft_wrap=True)
    objectives = " against ".join(one.kind for one in (search.objective_set.optimised, *search.objective_set.against))
    say(f"objective: {objectives}; {describe_detectable(prepared)}")
    for name, guard in search.guards.limits.items():
        say(f"guard: a winner's {name} is {guard}", style="dim")


def describe_detectable(prepared: Prepared) -> str:
    """Return in words the smallest gain that the held-out questions can show, and what it would be about."""
    if not prepared.split.held_out_units:
        return "no question is held out, so no gain can be called clear: the search chooses by the same questions"
    units = prepared.split.held_out_units
    detectable = describe_smallest_gains(units, finalists=prepared.settings.study.finalists)
    return f"{detectable}; about {prepared.split.claim}"


def _space_lines(space: PlainMapping) -> Iterator[str]:
    for slot, kinds in space.items():
        if slot == "forbid":
            if kinds:
                yield f"  forbid     {kinds}"
            continue
        for number, (kind, parameters) in enumerate(kinds.items()):
            inside = "  ".join(f"{name}={value}" for name, value in parameters.items())
            yield f"  {slot if number == 0 else '':<10} {kind:<11} {inside}"
