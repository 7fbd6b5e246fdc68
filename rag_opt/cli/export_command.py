"""The command `export`: the winner as a bundle, checked against what the search saw."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rag_opt.core.errors import BadBundle
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
    requirements: bool = True


def export_command(
    study: Annotated[Path, typer.Argument(help="The study's folder.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
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
) -> None:
    """Write the winner (or --trial N) as a bundle, and check that it returns what the search saw."""
    options = ExportOptions(
        weights=with_weights,
        sentence_vectors=not no_sentence_vectors,
        non_commercial=allow_non_commercial,
        requires_filter=tuple(requires_filter or ()),
        sign=sign,
    )
    print(export(study, out, trial=trial, options=options))


def export(study: Path, out: Path, *, trial: int | None = None, options: ExportOptions | None = None) -> str:
    """Write and check a bundle, and return in words what was done. Raises RagOptError; leaves nothing half-written."""
    from rag_opt.cli.stored_config import stored_config
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.production.bundle_writing import refuse_occupied, write_bundle
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
    finish = functools.partial(_finish, prepared=prepared, options=options)
    try:
        write_bundle(out, builder, spec, facts, finish=finish)
        said = _check(out, prepared, options)
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
            "gain": pick_gain(result, chosen.number),
            "metrics": measure_scores(stored),
        },
        questions=stored,
        requires_filter=options.requires_filter,
        weights=options.weights,
        sentence_vectors=options.sentence_vectors,
        non_commercial=options.non_commercial,
    )


def _finish(out: Path, *, prepared: Prepared, options: ExportOptions) -> None:
    """Add what serving imports, found out by serving."""
    from rag_opt.production.requirements import write_requirements

    if options.requirements:
        write_requirements(out, plugins=prepared.settings.plugins, allow_code=prepared.settings.embedder.allow_code)


def _check(out: Path, prepared: Prepared, options: ExportOptions) -> str:
    """Hold the bundle against what the search saw, sign it, and return what was found in words. Raises BadBundle."""
    from rag_opt.production.bundle_reading import load_bundle
    from rag_opt.production.parity import find_differences, select_checked
    from rag_opt.production.signing import sign_bundle

    # what a language model answered in the search is not asked again: the bundle is held against the same answers
    bundle = load_bundle(
        out,
        plugins=prepared.settings.plugins,
        allow_code=prepared.settings.embedder.allow_code,
        completions=prepared.search.builder.store.values,
    )
    asked = select_checked(bundle, every=False)
    different = find_differences(bundle, asked)
    if different:
        listed = "\n  ".join(different[:10])
        raise BadBundle(
            f"the bundle does not return what the search saw ({len(different)} of {len(asked)} questions):\n  {listed}"
        )
    if options.sign is not None:
        sign_bundle(out, options.sign)
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    vectors = sum(path.stat().st_size for path in (out / "sentences").glob("*"))
    shipped = f", of these {vectors / 1e6:.1f} MB vectors of {bundle.manifest.sentence_vectors:,} sentences"
    plugins = f", plugins={bundle.manifest.plugins!r}" if bundle.manifest.plugins else ""
    return (
        f"({size / 1e6:.1f} MB{shipped if vectors else ''}); it returns what the search saw on "
        f"{len(asked)} of {len(bundle.questions)} questions\n"
        f'  python -m rag_opt.serve {out}\n  import rag_opt; rag_opt.load("{out}"{plugins}).ask("…")'
    )
