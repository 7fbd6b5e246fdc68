"""python -m rag_opt.export outputs/<study> --out bundle/: write the winner (or --trial N) as a bundle, and check it."""

from __future__ import annotations

import argparse
import contextlib
import shutil
from pathlib import Path
from typing import Any

import orjson

from rag_opt.errors import BadBundle, exit_with


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m rag_opt.export", description=__doc__)
    parser.add_argument("study", type=Path, help="the study's folder")
    parser.add_argument("--out", type=Path, required=True, help="a new or empty folder")
    parser.add_argument("--trial", type=int, help="this trial instead of the winner")
    given = parser.parse_args(arguments)
    print(export(given.study, given.out, trial=given.trial))
    return 0


def export(study: Path, out: Path, *, trial: int | None = None) -> str:
    """Write and check a bundle; what was done, in words. Raises RagOptError, and leaves nothing half-written."""
    from rag_opt.composing import conf_folder
    from rag_opt.pipeline import PipelineSpec
    from rag_opt.preparing import prepare
    from rag_opt.production.bundle import load_bundle, parity, write_bundle
    from rag_opt.study.folder import StudyFolder
    from rag_opt.study.trials import load_trials

    folder = StudyFolder(study.resolve())
    if not (folder.path / "study.json").exists():
        raise BadBundle(f"{study} is not a study's folder (no study.json)")
    bound = folder.settings()
    result = _result(folder.path)
    number = trial if trial is not None else _winner(result, study)
    chosen = next((t for t in load_trials(folder.database, bound["name"]) if t.number == number), None)
    if chosen is None or chosen.state != "COMPLETE":
        raise BadBundle(
            f"trial {number} of {study} is {chosen.state if chosen else 'not there'}; only COMPLETE ones export"
        )
    composed: dict[str, Any] = {**bound["settings"]["composed"], "outputs": str(folder.path.parent)}
    composed["tracking"] = {"enabled": False}
    composed["study"] = {**composed["study"], "name": folder.name}  # wherever it was moved to
    folders = [Path(name) for name in bound["settings"].get("conf_folders", [])] or [conf_folder()]
    place = Path(bound["settings"].get("cwd", "."))
    with contextlib.chdir(place if place.is_dir() else "."):
        prepared = prepare(composed, conf_folders=folders)
    changed = [what for what, value in prepared.digests.items() if bound["digests"].get(what) != value]
    if changed:
        raise BadBundle(f"since the search another {' and another '.join(changed)} came in; search again, then export")
    workshop = prepared.search.workshop
    facts = {
        "study": folder.name,
        "trial": number,
        "questions": bound["settings"].get("questions", []),
        "search": {"value": chosen.value, "metrics": chosen.metrics},
        "held_out": (result or {}).get("metrics", {}).get(str(number)),
    }
    write_bundle(out, workshop, PipelineSpec.from_dict(chosen.spec), facts)
    filters = {question.id: question.filters for question in prepared.dataset.questions}
    rows = folder.load_rows(number)
    # what a language model answered in the search is not asked again: the bundle is held against the same answers
    bundle = load_bundle(out, allow_code=prepared.settings.embedder.allow_code, completions=workshop.store.values)
    different = parity(bundle, rows, [filters[row["question_id"]] for row in rows])
    workshop.close()
    if different:
        shutil.rmtree(out)
        listed = "\n  ".join(different[:10])
        raise BadBundle(
            f"the bundle does not return what the search saw ({len(different)} of {len(rows)}):\n  {listed}"
        )
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    return (
        f"trial {number} of {folder.name} -> {out} ({size / 1e6:.1f} MB); it returns what the search saw on all "
        f'{len(rows)} questions\n  import rag_opt; rag_opt.load("{out}").ask("…")'
    )


def _result(folder: Path) -> dict[str, Any] | None:
    path = folder / "result.json"
    found: dict[str, Any] | None = orjson.loads(path.read_bytes()) if path.exists() else None
    return found


def _winner(result: dict[str, Any] | None, study: Path) -> int:
    if result is None:
        raise BadBundle(f"{study} has no winner yet (no result.json): let the search finish, or name one with --trial")
    return int(result["winner"])


if __name__ == "__main__":
    exit_with(main)
