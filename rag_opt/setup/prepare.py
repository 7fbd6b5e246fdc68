"""From composed settings to everything a search needs: checked whole, all problems in one list, nothing spent."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.registry import load_parts, lookup
from rag_opt.data.question_lines import origins
from rag_opt.data.splits import split
from rag_opt.evaluation.intervals import clusters_of
from rag_opt.models.embedder_cards import embedder_card_library
from rag_opt.models.llm.settings import resolved
from rag_opt.models.reranker_cards import reranker_card_library
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec, part_from
from rag_opt.setup.builtins import load_built_in
from rag_opt.setup.fingerprints import input_digests, models_digest
from rag_opt.setup.inputs import new_builder, read_dataset
from rag_opt.setup.model_filters import filter_models, forbidden_rerankers
from rag_opt.setup.objectives import build_objective_set
from rag_opt.setup.preflight import (
    downloads,
    find_llm_problems,
    find_unpriced_models,
    impossible,
    missing_models,
    read_in_part,
)
from rag_opt.setup.schema import Settings
from rag_opt.store.artifacts import Store
from rag_opt.study.cost.reserve import share_for_trials
from rag_opt.study.evaluation import ObjectiveSet
from rag_opt.study.folder import StudyFolder
from rag_opt.study.history import qualities
from rag_opt.study.search import Search
from rag_opt.study.space.space import Space
from rag_opt.tracking.mlflow_runs import unusable


@dataclass(frozen=True, kw_only=True, config={"arbitrary_types_allowed": True})
class Prepared:
    """A search that can start, and what a person should be told before it does."""

    settings: Settings
    dataset: Any
    split: Any
    search: Any
    digests: dict[str, str]
    notes: list[str]

    @property
    def held_out(self) -> tuple[Any, ...]:
        return tuple(self.dataset.questions[i] for i in self.split.held_out)


@dataclass(frozen=True, kw_only=True, config={"arbitrary_types_allowed": True})
class _Read:
    """What the settings say, each part of it sound by itself."""

    settings: Settings
    dataset: Any
    space: Any
    baseline: Any
    sampler: Any
    sweep: bool
    objective_set: Any
    races: bool
    cards: Any
    notes: list[str]


def prepare(
    composed: Mapping[str, Any],
    *,
    conf_folders: Sequence[Path],
    name_suffix: str = "",
    announce: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Raises BadInput listing everything that is wrong with the settings and the data.

    `announce` is told what has to be downloaded before it is.
    """
    read = _read(composed, conf_folders)
    settings, dataset, objective_set, notes = read.settings, read.dataset, read.objective_set, list(read.notes)
    folder = StudyFolder(Path(settings.outputs) / f"{settings.study.name or dataset.name}{name_suffix}")
    rerankers = reranker_card_library(conf_folders).changed(settings.reranker.cards)
    to_download = downloads(read.space, read.baseline, objective_set, read.cards, rerankers)
    if to_download:
        announce(to_download)
    builder = _builder(read, Path(settings.outputs), conf_folders)
    notes = list(read.notes)
    if objective_set.against and read.sampler.kind == "cost_aware":
        notes.append("several objectives: cost_aware proposes as tpe does, and every trial is asked all questions")
    if settings.study.stop == "auto" and (read.sampler.kind != "cost_aware" or objective_set.against):
        notes.append("study.stop=auto: only cost_aware with one objective says what it promises; all trials are run")
    if settings.judge.kind == "same" and any(
        "judge" in one.requires for one in objective_set.objectives(finalist=True)
    ):
        notes.append("the model that answers judges its own answers, and may favour them: llm@judge=openai_compatible")
    notes += find_unpriced_models(settings.llm, settings.judge, settings.budget)
    parts = split(dataset.questions, search_share=settings.study.search_share)
    if not parts.search:
        raise BadInput([Problem("study.search_share", f"leaves no question to search on ({parts.basis})")])
    digests = {
        **input_digests(dataset, read.space, objective_set, read.baseline),
        "set of models": models_digest(read.space, read.baseline, objective_set, builder),
        "split": digest([settings.study.search_share, parts.basis.partition(":")[0]]),
    }
    search = Search(
        folder=folder,
        space=dataclasses.replace(read.space, impossible=builder.why_not),
        baseline=read.baseline,
        sampler=read.sampler,
        objective_set=objective_set,
        builder=builder,
        questions=tuple(dataset.questions[i] for i in parts.search),
        clusters=clusters_of([dataset.questions[i] for i in parts.search]),
        trials=settings.study.trials,
        seed=settings.study.seed,
        max_failures=settings.study.max_failures,
        races=read.races,
        min_coverage=settings.study.min_coverage,
        minutes=settings.study.minutes,
        stop=settings.study.stop,
        sweep=read.sweep,
        studied=_studied(read, folder, digests, notes),
    )
    share = functools.partial(
        share_for_trials, search, held_out=len(parts.held_out), finalists=settings.study.finalists
    )
    search = dataclasses.replace(search, share_for_trials=share)
    return Prepared(settings=settings, dataset=dataset, split=parts, search=search, digests=digests, notes=notes)


def _read(composed: Mapping[str, Any], conf_folders: Sequence[Path]) -> _Read:
    load_built_in()
    problems: list[Problem] = []

    def attempt(read: Any, *given: Any, **named: Any) -> Any:
        try:
            return read(*given, **named)
        except BadInput as error:
            problems.extend(error.problems)
            return None

    settings: Settings | None = attempt(config.load, Settings, dict(composed))
    if settings is None:  # the data can be looked at all the same
        attempt(read_dataset, composed.get("dataset") or {})
        raise BadInput(problems)
    attempt(load_parts, settings.plugins)
    pipeline = attempt(PipelineSpec.from_dict, settings.pipeline)
    baseline = attempt(_baseline, settings, conf_folders) or pipeline
    space = attempt(Space.from_dict, settings.space, rest=settings.pipeline, only=config.dump(settings.only))
    sweep = attempt(_sweep, settings.sampler)
    proposer = {key: value for key, value in settings.sampler.items() if key != "sweep"}
    sampler = attempt(part_from, "sampler", proposer, where="sampler")
    dataset = attempt(read_dataset, settings.dataset)
    notes = [*dataset.notes, *origins(dataset.questions)] if dataset else []
    cards = embedder_card_library(conf_folders).changed(settings.embedder.cards)
    if space is not None:
        language = dataset.corpus.language if dataset else ""
        space = attempt(filter_models, space, cards, settings.embedder, language, notes)
    if space is not None and not settings.embedder.allow_non_commercial:
        problems += forbidden_rerankers(space, reranker_card_library(conf_folders).changed(settings.reranker.cards))
    if space is not None and hasattr(sampler, "check"):
        attempt(sampler.check, space)
    problems += unusable(config.dump(settings.tracking)) + find_llm_problems(
        settings.llm, settings.judge, settings.budget
    )
    judged = resolved(settings.judge, settings.llm).kind == "openai_compatible"
    objective_set: ObjectiveSet | None = (
        attempt(build_objective_set, settings.objective, dataset, notes, judged=judged) if dataset else None
    )
    races = attempt(_races, settings, space, objective_set) if objective_set and space else None
    given = settings.study.name or (dataset.name if dataset else "unread")
    if not given or given != Path(given).name or given.startswith("."):
        problems.append(Problem("study.name", f"is {given!r}; should be usable as the name of a folder"))
    if problems or objective_set is None:
        raise BadInput(problems)
    return _Read(
        settings=settings,
        dataset=dataset,
        space=space,
        baseline=baseline,
        sampler=sampler,
        sweep=sweep,
        objective_set=objective_set,
        races=bool(races),
        cards=cards,
        notes=notes,
    )


def _builder(read: _Read, outputs: Path, conf_folders: Sequence[Path]) -> PipelineBuilder:
    """Where it will be built, if everything that was read fits together."""
    settings = read.settings
    try:
        store = Store(outputs / "store")
    except OSError as error:
        raise BadInput([Problem("outputs", f"{outputs} cannot be written: {error.strerror}")]) from None
    builder = new_builder(settings, read.dataset.corpus, store, read.cards, conf_folders)
    problems = impossible(read.space, read.baseline, builder) + missing_models(read.objective_set, builder)
    try:
        read.notes.extend(read_in_part(read.dataset, read.space, builder))
    except BadInput as error:
        problems += error.problems
    if problems:
        raise BadInput(problems)
    return builder


def _studied(read: _Read, folder: StudyFolder, digests: Mapping[str, str], notes: list[str]) -> dict[str, float]:
    """What earlier studies found, where the sampler wants to know; and a note of it."""
    if getattr(read.sampler, "priors", "cards") != "studies":
        return {}
    sign, least = read.objective_set.sign, read.settings.study.min_coverage
    found, unreadable = qualities(folder, digests, sign=sign, min_coverage=least)
    ranked = sorted(found.items(), key=lambda pair: -pair[1])
    said = ", ".join(f"{name} {sign * value:.3f}" for name, value in ranked)
    notes.append(f"models by the best that earlier studies of this data found: {said or 'none was studied'}")
    notes += [f"the study {name!r} could not be read: {why}" for name, why in unreadable.items()]
    return found


def _races(settings: Settings, space: Space, objective_set: ObjectiveSet) -> bool:
    """Whether to race: as asked for; by itself where answering calls a model. Several objectives have no one loser."""
    wanted = {"on": True, "off": False}.get(str(settings.study.racing), settings.study.racing)
    if wanted is True and objective_set.against:
        what = "is on, but a race needs one objective; with objective.against no pipeline loses in all of them"
        raise BadInput([Problem("study.racing", what)])
    calls = any("model" in lookup("generator", kind).requires for kind in space.tree["generator"])
    return (calls and not objective_set.against) if wanted == "auto" else bool(wanted)


def _sweep(sampler: Mapping[str, Any]) -> bool:
    words = {"on": True, "true": True, "off": False, "false": False}
    given = str(sampler.get("sweep", False)).lower()
    if given not in words:
        raise BadInput([Problem("sampler.sweep", f"is {given!r}; should be on or off")])
    return words[given]


def _baseline(settings: Settings, conf_folders: Sequence[Path]) -> PipelineSpec | None:
    """By name (`conf/pipeline/<name>.yaml`) or by file (YAML or JSON, a bundle's spec.json too)."""
    if settings.baseline is None:
        return None
    places = [folder / "pipeline" / f"{settings.baseline}.yaml" for folder in reversed(conf_folders)]
    for path in (Path(settings.baseline), *places):
        if path.is_file():
            return PipelineSpec.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")) or {}, where="baseline")
    known = sorted({path.stem for folder in conf_folders for path in (folder / "pipeline").glob("*.yaml")})
    what = f"is neither a file nor a pipeline: {settings.baseline!r}{among(settings.baseline, known)}"
    raise BadInput([Problem("baseline", what)])
