"""The command `export`: the winner as a bundle, checked against what the search saw."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_opt.core import strict
from rag_opt.core.errors import BadBundle, BadInput, Problem
from rag_opt.core.strict import PlainDict, PlainMapping

if TYPE_CHECKING:
    from rag_opt.production.bundle_writing import BundleFacts
    from rag_opt.setup.prepare import Prepared
    from rag_opt.study.folder import StudyFolder
    from rag_opt.study.trials import Trial


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """What an export may be asked for beside the pipeline itself."""

    weights: bool = False
    sentence_vectors: bool = True
    non_commercial: bool = False
    requires_filter: Sequence[str] = ()
    sign: Path | None = None


def export_command(
    source: Annotated[Path, typer.Argument(help="A study's folder; or a bundle's, to update or register it.")],
    out: Annotated[Path | None, typer.Option(help="A new or empty folder.")] = None,
    trial: Annotated[int | None, typer.Option(help="Export this trial instead of the winner.")] = None,
    with_weights: Annotated[bool, typer.Option("--with-weights", help="Copy the models' files into it.")] = False,
    no_sentence_vectors: Annotated[
        bool, typer.Option("--no-sentence-vectors", help="Leave them out: smaller, and slower on first questions.")
    ] = False,
    allow_non_commercial: Annotated[
        bool, typer.Option("--allow-non-commercial", help="Models whose licence forbids commercial use, too.")
    ] = False,
    requires_filter: Annotated[
        list[str] | None, typer.Option(help="Metadata that every question must name as a filter, as tenant.")
    ] = None,
    sign: Annotated[Path | None, typer.Option(help="Private Ed25519 key (PEM) to sign it with.")] = None,
    documents: Annotated[Path | None, typer.Option(help="Of a bundle: build it anew over these documents.")] = None,
    push: Annotated[
        str | None, typer.Option(help="Of a bundle: fill a collection, as qdrant=http://host:6333#name.")
    ] = None,
    drop_older: Annotated[
        bool, typer.Option("--drop-older", help="With --push: remove older collections but the last.")
    ] = False,
    all_questions: Annotated[bool, typer.Option("--all", help="With --push: check all questions, not 50.")] = False,
    register: Annotated[str | None, typer.Option(help="Of a bundle: name to register it by in MLflow.")] = None,
    promote: Annotated[str | None, typer.Option(help="Make the challenger of this name the champion.")] = None,
    rollback: Annotated[str | None, typer.Option(help="Make the previous version of this name the champion.")] = None,
    mlflow: Annotated[
        str, typer.Option(envvar="MLFLOW_TRACKING_URI", help="MLflow's address.")
    ] = "sqlite:///outputs/mlflow.db",
    margin: Annotated[float, typer.Option(help="With --promote: points of the objective that may be lost.")] = 0.02,
    force: Annotated[
        bool, typer.Option("--force", help="With --promote: even where it is worse or not known.")
    ] = False,
    wheel: Annotated[Path | None, typer.Option(help="With --register: rag_opt's wheel, for MLflow's servers.")] = None,
    plugins: Annotated[
        list[str] | None, typer.Option(help="Of a bundle: package that its parts may come from.")
    ] = None,
    allow_code: Annotated[
        list[str] | None, typer.Option(help="Of a bundle: model whose code may run, as id@revision.")
    ] = None,
) -> None:
    """Write the winner (or --trial N) as a bundle, and check that it returns what the search saw.

    Of a bundle: build it anew over other documents (--documents), fill a collection of a vector store (--push), or
    register, promote and roll back in MLflow.
    """
    from rag_opt.cli import bundle_commands as bundles

    options = ExportOptions(
        weights=with_weights,
        sentence_vectors=not no_sentence_vectors,
        non_commercial=allow_non_commercial,
        requires_filter=tuple(requires_filter or ()),
        sign=sign,
    )
    if rollback is not None:
        print(bundles.roll_back(rollback, uri=mlflow))
    elif promote is not None:
        print(bundles.promote_challenger(promote, uri=mlflow, margin=margin, force=force))
    elif register is not None:
        print(bundles.register(source, register, uri=mlflow, wheel=wheel, plugins=tuple(plugins or ())))
    elif push is not None:
        allowed = {"plugins": tuple(plugins or ()), "allow_code": tuple(allow_code or ())}
        print(bundles.push(source, push, every=all_questions, drop_older=drop_older, **allowed))
    elif out is None:
        raise BadInput([Problem("--out", "is missing: a new or empty folder for the bundle")])
    elif documents is not None:
        print(bundles.update(source, documents, out, sign=sign, plugins=plugins or (), code=allow_code or ()))
    else:
        print(export(source, out, trial=trial, options=options))


def export(study: Path, out: Path, *, trial: int | None = None, options: ExportOptions | None = None) -> str:
    """Write and check a bundle, and return in words what was done. Raises RagOptError; leaves nothing half-written."""
    from rag_opt.cli.stored_config import stored_config
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.production.bundle_writing import refuse_occupied
    from rag_opt.production.exporting import Allowed, write_checked
    from rag_opt.setup.prepare import prepare
    from rag_opt.study.folder import StudyFolder

    options, out = options or ExportOptions(), out.resolve()
    refuse_occupied(out)
    folder = StudyFolder(study.resolve())
    if not (folder.path / "study.json").exists():
        raise BadBundle(f"{study} is not a study's folder (no study.json)")
    bound, result = folder.settings(), folder.result()
    chosen = _choose_trial(folder, result, trial, study)
    with stored_config(folder) as (composed, folders):
        prepared = prepare(composed, conf_folders=folders)
    changed = [what for what, value in prepared.digests.items() if bound["digests"].get(what) != value]
    if changed:
        raise BadBundle(f"since the search another {' and another '.join(changed)} came in; search again, then export")
    spec, builder = PipelineSpec.from_dict(chosen.spec), prepared.search.builder
    facts = _gather_facts(prepared, folder, chosen, result, options)
    allowed = Allowed(tuple(prepared.settings.plugins), tuple(prepared.settings.embedder.allow_code))
    try:
        # what a language model answered in the search is not asked again: the bundle is held against the same answers
        said = write_checked(out, builder, spec, facts, allowed, sign=options.sign, completions=builder.store.values)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise
    finally:
        builder.close()
    return f"trial {chosen.number} of {folder.name} -> {out} {said}"


def _choose_trial(folder: StudyFolder, result: PlainDict | None, trial: int | None, study: Path) -> Trial:
    from rag_opt.study.trials import load_trials

    number = trial if trial is not None else _winner(result, study)
    trials = load_trials(folder.database, folder.settings()["name"])
    chosen = next((one for one in trials if one.number == number), None)
    if chosen is None or chosen.state != "COMPLETE":
        raise BadBundle(
            f"trial {number} of {study} is {chosen.state if chosen else 'not there'}; only COMPLETE ones export"
        )
    return chosen


def _winner(result: PlainDict | None, study: Path) -> int:
    if result is None:
        raise BadBundle(f"{study} has no winner yet (no result.json): let the search finish, or name one with --trial")
    return int(result["winner"])


def _gather_facts(
    prepared: Prepared, folder: StudyFolder, chosen: Trial, result: PlainMapping | None, options: ExportOptions
) -> BundleFacts:
    """Return what the bundle holds beside its pipeline: questions with what was seen, scores, where they came from."""
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.production.bundle_writing import BundleFacts
    from rag_opt.production.measured_scores import measure_scores, pick_gain
    from rag_opt.production.stored_questions import HELD_OUT, SEARCH, build_stored_questions

    dataset, rows = prepared.dataset, {SEARCH: folder.load_rows(chosen.number)}
    if folder.rows_path(chosen.number, "held_out").exists() and prepared.held_out:
        rows[HELD_OUT] = folder.load_rows(chosen.number, "held_out")
    units = dict(zip((question.id for question in dataset.questions), prepared.split.units, strict=True))
    corpus = prepared.search.builder.readings.corpus(PipelineSpec.from_dict(chosen.spec).reader)
    stored = build_stored_questions(dataset.questions, rows, units, corpus)
    digests = {"corpus": corpus.digest, "questions": dataset.questions_digest}
    counts = {"documents": len(corpus.documents), "questions": len(dataset.questions)}
    return BundleFacts(
        study=folder.name,
        trial=chosen.number,
        dataset={"name": dataset.name, **counts, **digests},
        origins=folder.settings()["settings"].get("questions", []),
        scores={
            "objective": prepared.search.objective_set.optimised.kind,
            "direction": prepared.search.objective_set.optimised.direction,
            "objective_settings": strict.dump(prepared.search.objective_set.optimised),
            "gain": pick_gain(result, chosen.number),
            "metrics": measure_scores(stored),
        },
        questions=stored,
        requires_filter=options.requires_filter,
        weights=options.weights,
        sentence_vectors=options.sentence_vectors,
        non_commercial=options.non_commercial,
    )
