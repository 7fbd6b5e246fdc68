"""The inputs of a search as they are read from a composed config: each sound by itself, every problem in one list."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from rag_opt.core import strict
from rag_opt.core.corpus_readings import CorpusReadings
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.questions import Dataset
from rag_opt.core.registry import kinds, load_parts, lookup
from rag_opt.core.strict import PlainMapping
from rag_opt.core.yaml_files import read_yaml
from rag_opt.data.question_lines import describe_origins
from rag_opt.evaluation.running_systems import RunningSystem, is_running_system, open_system
from rag_opt.models.cards import CardLibrary
from rag_opt.models.embedder_cards import EmbedderCards, embedder_card_library
from rag_opt.models.llm.settings import resolve_judge
from rag_opt.models.reranker_cards import RerankerCard, reranker_card_library
from rag_opt.pipeline.normal_form import without_unread_vectors
from rag_opt.pipeline.spec import PipelineSpec, part_from
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.datasets import find_readers, read_dataset
from rag_opt.setup.model_filters import filter_models, find_forbidden_rerankers, fit_references
from rag_opt.setup.objectives import build_objective_set, leave_out_answers
from rag_opt.setup.preflight import find_llm_problems
from rag_opt.setup.schema import Settings
from rag_opt.store.artifacts import Store
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.samplers.interfaces import ChecksSpace, Sampler
from rag_opt.study.space.space import Space
from rag_opt.tracking.places import find_tracking_problems

Arguments = ParamSpec("Arguments")
Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Everything that a config names, read. `sweep`: whether lists are swept; `races`: whether pipelines race.

    `readings`: the documents by every reader of the space. `store` opens the artifacts, the same every time.

    `dense_reference`: whether vectors alone are a reference beside the baseline.
    """

    settings: Settings
    dataset: Dataset
    readings: CorpusReadings
    store: Callable[[], Store]
    space: Space
    baseline: PipelineSpec
    running: RunningSystem | None
    dense_reference: bool
    enqueued: tuple[PipelineSpec, ...]
    sampler: Sampler
    sweep: bool
    objective_set: ObjectiveSet
    races: bool
    cards: EmbedderCards
    rerankers: CardLibrary[RerankerCard]
    notes: tuple[str, ...]


class _Attempts:
    """Runs the readers of a config, and keeps the problems of those that fail."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def __call__(
        self, read: Callable[Arguments, Value], *given: Arguments.args, **named: Arguments.kwargs
    ) -> Value | None:
        try:
            return read(*given, **named)
        except BadInput as error:
            self.problems += error.problems
            return None


def read_inputs(
    composed: PlainMapping, conf_folders: Sequence[Path], announce: Callable[[str], None] = lambda _: None
) -> Inputs:
    """Return everything that a composed config names. Raises BadInput with all that is wrong with it.

    `announce`: told how far the documents are read.
    """
    load_built_in()
    attempt = _Attempts()
    settings = attempt(strict.load, Settings, dict(composed))
    if settings is None:  # the data can be looked at all the same
        attempt(read_dataset, dict(composed.get("dataset") or {}))
        raise BadInput(attempt.problems)
    attempt(load_parts, settings.plugins)
    attempt(_refuse_without_objectives, settings.plugins)
    cards = embedder_card_library(conf_folders).with_changes(settings.embedder.cards)
    rerankers = reranker_card_library(conf_folders).with_changes(settings.reranker.cards)
    pipeline = attempt(PipelineSpec.from_dict, settings.pipeline)
    spec_named = settings.baseline if not is_running_system(settings.baseline or "") else None
    named = spec_named is not None
    baseline = attempt(read_pipeline, spec_named, conf_folders, where="baseline") if spec_named else pipeline
    running = attempt(_open_running, settings.baseline)
    enqueued = attempt(read_enqueued, settings, conf_folders)
    whole = attempt(Space.from_dict, settings.space, rest=settings.pipeline, only=strict.dump(settings.only))
    store = functools.cache(lambda: open_store(settings))
    own_specs = [spec for spec in (pipeline, baseline, *(enqueued or ())) if spec is not None]
    readers = attempt(find_readers, whole, own_specs) if whole is not None else []
    read = attempt(read_dataset, settings.dataset, readers or [], values=lambda: store().values, announce=announce)
    dataset, readings = read if read is not None else (None, None)
    answers = whole is None or set(whole.tree["generator"]) != {"none"}
    known = dataset is not None and bool(kinds("objective"))
    objectives = attempt(_read_objectives, settings, dataset, answers) if known else None
    alone = leave_out_answers(objectives[0]) if objectives and settings.only.generator is None else None
    space, space_notes = _fit_space(attempt, whole, settings, dataset, cards, rerankers, answers=alone is None)
    sampler = attempt(_read_sampler, settings.sampler, space)
    sweep = attempt(_read_sweep, settings.sampler)
    races = attempt(_read_racing, settings, space, objectives[0]) if objectives and space else None
    attempt.problems += find_tracking_problems(strict.dump(settings.tracking))
    attempt.problems += find_llm_problems(settings.llm, settings.judge, settings.budget)
    attempt.problems += _study_name_problems(settings, dataset)
    if (
        attempt.problems
        or dataset is None
        or readings is None
        or space is None
        or baseline is None
        or enqueued is None
        or sampler is None
        or objectives is None
    ):
        raise BadInput(attempt.problems)
    objective_set, objective_notes = objectives
    if alone is not None:
        objective_set, left_out = alone
        objective_notes = [*objective_notes, _describe_no_answers(objective_set, left_out, whole)]
    baseline, *own = (_as_run(spec, answers=alone is None) for spec in (baseline, *enqueued))
    baseline, dense_reference, notes = fit_references(baseline, cards, dataset.corpus, named=named)
    origins = describe_origins(dataset.questions)
    return Inputs(
        settings=settings,
        dataset=dataset,
        readings=readings,
        store=store,
        space=space,
        baseline=baseline,
        dense_reference=dense_reference,
        running=running,
        enqueued=tuple(own),
        sampler=sampler,
        sweep=bool(sweep),
        objective_set=objective_set,
        races=bool(races),
        cards=cards,
        rerankers=rerankers,
        notes=(*dataset.notes, *origins, *space_notes, *objective_notes, *_describe_changed(enqueued, own), *notes),
    )


def _open_running(given: str | None) -> RunningSystem | None:
    """Return what the team runs today, where a log or a service is named as the baseline."""
    if given is None or not is_running_system(given):
        return None
    return open_system(given, where="baseline")


def open_store(settings: Settings) -> Store:
    """Return the store of a run. Raises BadInput where its folder cannot be written."""
    outputs = Path(settings.outputs)
    try:
        return Store(outputs / "store")
    except OSError as error:
        raise BadInput([Problem("outputs", f"{outputs} cannot be written: {error.strerror}")]) from None


def _as_run(spec: PipelineSpec, *, answers: bool) -> PipelineSpec:
    """Return a person's pipeline without answers, if none are given, and without a model that nothing of it asks."""
    silent = spec if answers else dataclasses.replace(spec, generator=lookup("generator", "none")())
    return without_unread_vectors(silent)


def _describe_changed(enqueued: Sequence[PipelineSpec], own: Sequence[PipelineSpec]) -> list[str]:
    """Return a note of each enqueued pipeline that loses its embedding model: its chunks are counted otherwise then."""
    changed = [n for n, (one, run) in enumerate(zip(enqueued, own, strict=True)) if one.embedder != run.embedder]
    what = "nothing of it reads vectors, so it has embedder none, whose chunks are counted by Qwen's byte pairs"
    return [f"study.enqueue[{number}]: {what}" for number in changed]


def _describe_no_answers(objective_set: ObjectiveSet, left_out: Sequence[str], whole: Space | None) -> str:
    optimised = " and ".join(one.kind for one in objective_set.compared)
    without = f", and {', '.join(left_out)} are not logged" if left_out else ""
    given = [kind for kind in (whole.tree["generator"] if whole is not None else ()) if kind != "none"]
    instead = f"; only.generator=[{','.join(given)}] has them given" if given else ""
    return f"{optimised}: no answer is looked at, so none is given{without}{instead}"


def _fit_space(
    attempt: _Attempts,
    space: Space | None,
    settings: Settings,
    dataset: Dataset | None,
    cards: EmbedderCards,
    rerankers: CardLibrary[RerankerCard],
    *,
    answers: bool,
) -> tuple[Space | None, list[str]]:
    """Return the space without the models that are ruled out, and notes of these. `answers`: whether any are given."""
    if space is None:
        return None, []
    if not answers:
        space = dataclasses.replace(space, tree={**space.tree, "generator": {"none": {}}})
    if not settings.embedder.allow_non_commercial:
        attempt.problems += find_forbidden_rerankers(space, rerankers, cards)
    language = dataset.corpus.language if dataset is not None else ""
    filtered = attempt(filter_models, space, cards, settings.embedder, language)
    return filtered if filtered is not None else (None, [])


def _read_sampler(given: PlainMapping, space: Space | None) -> Sampler:
    sampler: Sampler = part_from(
        "sampler", {key: value for key, value in given.items() if key != "sweep"}, where="sampler"
    )
    if space is not None and isinstance(sampler, ChecksSpace):
        sampler.check(space)
    return sampler


def _read_sweep(given: PlainMapping) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    written = str(given.get("sweep", False)).lower()
    if written not in words:
        raise BadInput([Problem("sampler.sweep", f"is {written!r}; should be on or off")])
    return words[written]


def _read_objectives(
    settings: Settings, dataset: Dataset | None, answers: bool
) -> tuple[ObjectiveSet, list[str]] | None:
    judged = resolve_judge(settings.judge, settings.llm).configured
    if dataset is None:
        return None
    return build_objective_set(settings.objective, dataset, judged=judged, answers=answers)


def _read_racing(settings: Settings, space: Space, objective_set: ObjectiveSet) -> bool:
    """Return whether to race: as asked for, or by itself where answering calls a language model."""
    wanted = {"on": True, "off": False}.get(str(settings.study.racing), settings.study.racing)
    if wanted is True and objective_set.against:
        what = "is on, but a race needs one objective; with objective.against no pipeline loses in all of them"
        raise BadInput([Problem("study.racing", what)])
    calls = any(lookup("generator", kind).uses_llm for kind in space.tree["generator"])
    return (calls and not objective_set.against) if wanted == "auto" else bool(wanted)


_RESERVED = ("store", "mlartifacts", "mlflow.db")
_MOST_NAME_BYTES = 200  # files made from it have longer names


def _refuse_without_objectives(plugins: Sequence[str]) -> None:
    """Raise BadInput where no package brings an objective: a list replaces the one that had ours."""
    if not kinds("objective"):
        whole = ", ".join(["objectives", *plugins])
        what = f"is {list(plugins)}, and brings no objective; ours are in the package objectives: plugins=[{whole}]"
        raise BadInput([Problem("plugins", what)])


def _study_name_problems(settings: Settings, dataset: Dataset | None) -> list[Problem]:
    name = settings.study.name or (dataset.name if dataset is not None else "unread")
    if name.casefold() in _RESERVED:
        return [Problem("study.name", f"is {name!r}, which names something else in the folder of outputs")]
    usable = name == Path(name).name and name.isprintable() and len(name.encode()) <= _MOST_NAME_BYTES
    if not name or not usable or name.startswith("."):
        shown = repr(name if len(name) <= 80 else f"{name[:60]}…")
        what = f"should be usable as the name of a folder: at most {_MOST_NAME_BYTES} bytes, no / and no . before it"
        return [Problem("study.name", f"is {shown}; {what}")]
    return []


def read_enqueued(settings: Settings, conf_folders: Sequence[Path]) -> tuple[PipelineSpec, ...]:
    """Return the pipelines of `study.enqueue`, in their order."""
    return tuple(
        read_pipeline(name, conf_folders, where=f"study.enqueue[{number}]")
        for number, name in enumerate(settings.study.enqueue)
    )


def read_pipeline(name: str, conf_folders: Sequence[Path], *, where: str) -> PipelineSpec:
    """Return a pipeline by its name in `conf/pipeline/` or by its file (YAML or JSON, a bundle's spec.json too).

    Raises BadInput.
    """
    named = [folder / "pipeline" / f"{name}.yaml" for folder in reversed(conf_folders)]
    for path in (Path(name), *named):
        if path.is_file():
            return PipelineSpec.from_dict(read_yaml(path), where=where)
    known = sorted({path.stem for folder in conf_folders for path in (folder / "pipeline").glob("*.yaml")})
    raise BadInput([Problem(where, f"is neither a file nor a pipeline: {name!r}{suggest_names(name, known)}")])
