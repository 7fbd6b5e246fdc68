"""The command `export`: the winner as a bundle, checked against what the search saw."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from rag_opt.core.errors import BadBundle
from rag_opt.core.strict import PlainDict, PlainMapping


def export_command(
    study: Annotated[Path, typer.Argument(help="The study's folder.")],
    out: Annotated[Path, typer.Option(help="A new or empty folder.")],
    trial: Annotated[int | None, typer.Option(help="Export this trial instead of the winner.")] = None,
) -> None:
    """Write the winner (or --trial N) as a bundle, and check that it returns what the search saw."""
    print(export(study, out, trial=trial))


def export(study: Path, out: Path, *, trial: int | None = None) -> str:
    """Write and check a bundle, and return in words what was done. Raises RagOptError; leaves nothing half-written."""
    from rag_opt.cli.stored_config import stored_config
    from rag_opt.pipeline.spec import PipelineSpec
    from rag_opt.production.bundle_files import load_bundle, write_bundle
    from rag_opt.production.parity import find_differences
    from rag_opt.setup.prepare import prepare
    from rag_opt.study.folder import StudyFolder
    from rag_opt.study.trials import load_trials

    folder = StudyFolder(study.resolve())
    if not (folder.path / "study.json").exists():
        raise BadBundle(f"{study} is not a study's folder (no study.json)")
    bound = folder.settings()
    result = folder.result()
    number = trial if trial is not None else _winner(result, study)
    chosen = next((t for t in load_trials(folder.database, bound["name"]) if t.number == number), None)
    if chosen is None or chosen.state != "COMPLETE":
        raise BadBundle(
            f"trial {number} of {study} is {chosen.state if chosen else 'not there'}; only COMPLETE ones export"
        )
    with stored_config(folder) as (composed, folders):
        prepared = prepare(composed, conf_folders=folders)
    changed = [what for what, value in prepared.digests.items() if bound["digests"].get(what) != value]
    if changed:
        raise BadBundle(f"since the search another {' and another '.join(changed)} came in; search again, then export")
    builder = prepared.search.builder
    facts = {
        "study": folder.name,
        "trial": number,
        "questions": bound["settings"].get("questions", []),
        "search": {"value": chosen.value, "metrics": chosen.metrics},
        "held_out": (result or {}).get("metrics", {}).get(str(number)),
    }
    write_bundle(out, builder, PipelineSpec.from_dict(chosen.spec), facts)
    questions = {question.id: question for question in prepared.dataset.questions}
    rows = folder.load_rows(number)
    # what a language model answered in the search is not asked again: the bundle is held against the same answers
    bundle = load_bundle(
        out,
        plugins=prepared.settings.plugins,
        allow_code=prepared.settings.embedder.allow_code,
        completions=builder.store.values,
    )
    different = find_differences(bundle, rows, questions)
    builder.close()
    if different:
        shutil.rmtree(out)
        listed = "\n  ".join(different[:10])
        raise BadBundle(
            f"the bundle does not return what the search saw ({len(different)} of {len(rows)}):\n  {listed}"
        )
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return (
        f"trial {number} of {folder.name} -> {out} ({size / 1e6:.1f} MB); it returns what the search saw on all "
        f'{len(rows)} questions\n  import rag_opt; rag_opt.load("{out}"{_allowing(bundle.manifest)}).ask("…")'
    )


def _allowing(manifest: PlainMapping) -> str:
    return f", plugins={manifest['plugins']!r}" if manifest["plugins"] else ""


def _winner(result: PlainDict | None, study: Path) -> int:
    if result is None:
        raise BadBundle(f"{study} has no winner yet (no result.json): let the search finish, or name one with --trial")
    return int(result["winner"])
