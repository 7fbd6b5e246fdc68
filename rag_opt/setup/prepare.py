"""From a composed config to a search that can start: read, resolve models, check, bind. Nothing is spent before."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_doc import Doc

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.questions import Dataset, Question
from rag_opt.core.strict import PlainMapping
from rag_opt.data.splits import Split, describe_repeated, split
from rag_opt.evaluation.guards import OF_ANSWERS, Guards, default_guards
from rag_opt.evaluation.interfaces import Objective
from rag_opt.evaluation.labels import read_labels_of
from rag_opt.evaluation.prediction_powered import Labels
from rag_opt.models.runtimes import DocumentRuntime
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.setup.builders import new_builder
from rag_opt.setup.fingerprints import input_digests, models_digest
from rag_opt.setup.inputs import Inputs, read_inputs
from rag_opt.setup.preflight import (
    describe_cut_questions,
    describe_downloads,
    describe_impossible_values,
    describe_unpriced_models,
    document_runtimes,
    find_problems,
)
from rag_opt.setup.schema import ObjectiveSettings, Settings
from rag_opt.setup.space_models import SpaceModels
from rag_opt.study.cost.reserve import share_for_trials
from rag_opt.study.folder import StudyFolder
from rag_opt.study.references import reference_pipelines
from rag_opt.study.samplers.cost_aware import CostAware
from rag_opt.study.search import Search
from rag_opt.study.transfer import (
    NONE,
    EarlierStudy,
    Expectations,
    build_portfolio,
    count_comparable,
    find_earlier_studies,
)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A search that can start, and what a person should be told before it does."""

    settings: Settings
    dataset: Dataset
    split: Split
    search: Search
    digests: dict[str, str]
    runtimes: Annotated[dict[str, DocumentRuntime], Doc("By id of a model, what encodes its documents.")]
    notes: tuple[str, ...]

    @property
    def held_out(self) -> tuple[Question, ...]:
        """Questions that the search never sees."""
        return tuple(self.dataset.questions[i] for i in self.split.held_out)


def prepare(
    composed: PlainMapping,
    *,
    conf_folders: Sequence[Path],
    name_suffix: str = "",
    announce: Callable[[str], None] = lambda _: None,
    reading: Callable[[str], None] = lambda _: None,
) -> Prepared:
    """Return the search that a composed config describes.

    `announce` is told what will be downloaded, before it is; `reading` how many pages of the documents are read.

    Raises BadInput listing everything that is wrong with the settings and the data.
    """
    inputs = read_inputs(composed, conf_folders, reading)
    models = SpaceModels.of(inputs.space, inputs.baseline, inputs.objective_set)
    downloads = describe_downloads(models, inputs.cards, inputs.rerankers)
    if downloads:
        announce(downloads)
    settings = inputs.settings
    folder = StudyFolder(Path(settings.outputs) / f"{settings.study.name or inputs.dataset.name}{name_suffix}")
    builder, notes = _checked_builder(inputs, models, conf_folders, folder)
    return _bound(inputs, models, builder, [*inputs.notes, *notes, *_notes_of_settings(inputs)], folder)


def _checked_builder(
    inputs: Inputs, models: SpaceModels, conf_folders: Sequence[Path], folder: StudyFolder
) -> tuple[PipelineBuilder, list[str]]:
    """Return what builds the pipelines, if everything that was read fits together; and notes."""
    settings, store = inputs.settings, inputs.store()
    kept = folder.kept_runtimes()
    builder = new_builder(settings, inputs.readings, store, inputs.cards, conf_folders, kept=kept)
    references = reference_pipelines(inputs.baseline, dense=inputs.dense_reference)
    problems, notes = find_problems(inputs.space, references, inputs.enqueued, models, builder), list[str]()
    try:
        notes = describe_cut_questions(inputs.dataset, models, builder)
    except BadInput as error:
        problems += [problem for problem in error.problems if problem not in problems]
    if problems:
        raise BadInput(problems)
    return builder, [*notes, *describe_impossible_values(inputs.space, builder)]


def _notes_of_settings(inputs: Inputs) -> list[str]:
    """Return what a person should know of settings that go together badly."""
    settings, objective_set = inputs.settings, inputs.objective_set
    cost_aware, notes = isinstance(inputs.sampler, CostAware), list[str]()
    if objective_set.against and cost_aware:
        notes.append("several objectives: cost_aware proposes as tpe does, and every trial is asked all questions")
    if settings.study.stop == "auto" and (not cost_aware or objective_set.against):
        rule = "only cost_aware with one objective gives an expected improvement; all trials are run"
        notes.append(f"study.stop=auto: {rule}")
    judged = any("judge" in objective.requires for objective in objective_set.objectives(finalist=True))
    if settings.judge.is_generator and judged:
        notes.append("the model that answers judges its own answers, and may favour them: llm@judge=openai_compatible")
    return [*notes, *describe_unpriced_models(settings.llm, settings.judge, settings.budget)]


def _bound(
    inputs: Inputs, models: SpaceModels, builder: PipelineBuilder, notes: list[str], folder: StudyFolder
) -> Prepared:
    """Return the search, with the digests of everything that its trials depend on."""
    settings, dataset, study = inputs.settings, inputs.dataset, inputs.settings.study
    parts = split(dataset.questions, search_share=study.search_share)
    if not parts.search:
        raise BadInput([Problem("study.search_share", f"leaves no question to search on ({parts.basis})")])
    digests = {
        **input_digests(
            dataset,
            inputs.space,
            inputs.objective_set,
            inputs.baseline.digest if inputs.running is None else digest(inputs.running.identity),
            readings=inputs.readings,
        ),
        "set of models": models_digest(inputs.space, inputs.baseline, inputs.objective_set, models, builder),
        "split": digest([study.search_share, parts.unit_kind, sorted(dataset.questions[i].id for i in parts.search)]),
    }
    earlier, transfer_notes = _learn(inputs, folder, digests)
    questions = tuple(dataset.questions[i] for i in parts.search)
    space = dataclasses.replace(
        inputs.space, reason_impossible=builder.candidates.reason_impossible, identify=builder.candidates.identify
    )
    search = Search(
        folder=folder,
        space=space,
        baseline=inputs.baseline,
        dense_reference=inputs.dense_reference,
        running=inputs.running,
        enqueued=inputs.enqueued,
        sampler=inputs.sampler,
        objective_set=inputs.objective_set,
        builder=builder,
        questions=questions,
        clusters=parts.search_units,
        trials=study.trials,
        seed=study.seed,
        max_failures=study.max_failures,
        retry_failed=study.retry_failed,
        races=inputs.races,
        guards=_read_guards(settings.objective, inputs),
        labels=_read_labels(settings, inputs.objective_set.optimised),
        minutes=study.minutes,
        stop=study.stop,
        sweep=inputs.sweep,
        portfolio=tuple(build_portfolio(earlier, space)),
        expected=Expectations(earlier, space).mean if earlier else None,
    )
    share = functools.partial(share_for_trials, search, held_out=len(parts.held_out), finalists=study.finalists)
    return Prepared(
        settings=settings,
        dataset=dataset,
        split=parts,
        search=dataclasses.replace(search, share_for_trials=share),
        digests=digests,
        runtimes=document_runtimes(models.document_embedders, builder),
        notes=(*notes, *describe_repeated(dataset.questions), *transfer_notes),
    )


def _read_guards(settings: ObjectiveSettings, inputs: Inputs) -> Guards:
    """Return the guards that are not removed: those of every search, of the objective, and those that are named.

    Those of every search that look at answers are left out where there are none.
    """
    named = {**default_guards(), **inputs.objective_set.optimised.guards, **settings.guards}
    silent = OF_ANSWERS if set(inputs.space.tree["generator"]) == {"none"} else ()
    return Guards({name: guard for name, guard in named.items() if guard is not None and name not in silent})


def _read_labels(settings: Settings, optimised: Objective) -> Labels:
    """Return people's scores of what the judge judges, where there are any."""
    if settings.judge.labels is None:
        return {}
    if "judge" not in optimised.requires:
        raise BadInput([Problem("judge.labels", f"nothing to correct: {optimised.kind} is not judged by a model")])
    return read_labels_of(Path(settings.judge.labels), optimised.kind, where="judge.labels")


def _learn(inputs: Inputs, folder: StudyFolder, digests: Mapping[str, str]) -> tuple[list[EarlierStudy], list[str]]:
    """Return the earlier studies that this one learns from; and notes of them, or of those it could learn from."""
    learn_from = inputs.settings.study.learn_from
    if learn_from == NONE:
        same, other = count_comparable(folder, digests)
        ways = [f"study.learn_from=same: {same} of this data"] if same else []
        ways += [f"study.learn_from=all: {other} of other data{' too' if same else ''}"] if other else []
        return [], [f"earlier studies of this objective can be learned from: {'; '.join(ways)}"] if ways else []
    studies, notes = find_earlier_studies(folder, digests, learn_from=learn_from)
    names = ", ".join(f"{study.name} ({len(study.specs)} pipelines)" for study in studies) or "none was found"
    return studies, [f"learning from earlier studies: {names}", *notes]
