"""Deleting for good: a study, or everything that holds the text of a document."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from rag_opt.core.errors import BadInput, BadStudy, StudyBusy
from rag_opt.store import upkeep
from rag_opt.study.folder import StudyFolder


def forget_study(path: Path) -> list[str]:
    """Delete a study: its runs and traces in MLflow, its folder with rows, report and passages. Return what was done.

    What the store made for it stays, since other studies may use it: `store forget --document` empties it. Raises
    BadInput where it is no study, StudyBusy where a search holds it.
    """
    from rag_opt.tracking.forgetting import forget_runs

    folder = StudyFolder(path)
    if not (path / "study.json").exists():
        raise BadInput(f"{path} is not a study's folder (no study.json)")
    if folder.busy:
        raise StudyBusy(f"{path} is being searched; wait for it, or end it: python -m rag_opt.report {path} --finish")
    done = []
    if folder.settings()["settings"].get("tracking", {}).get("enabled", True):
        gone = forget_runs(folder)
        done.append(f"{gone.runs} runs and {gone.traces} traces of {folder.name} were deleted from MLflow")
        done += [gone.left] if gone.left else []
    shutil.rmtree(path)
    return [*done, f"{path} was deleted"]


def forget_document(name: str, *, store: Path, outputs: Path) -> list[str]:
    """Empty the store, which holds pieces of documents under hashes, and name what else holds text of a document.

    Nothing in the store says of which document it is, so all of it goes; a search makes again what it needs.
    """
    size = upkeep.empty(store)
    done = [f"the store was emptied, answers of language models too ({size / 1e6:,.1f} MB); a search makes all anew"]
    held = sorted(set(_studies_with(name, outputs)))
    for path in held:
        done.append(f"{path} holds answers and passages of {name}: python -m rag_opt.store forget --study {path}")
    bundles = sorted(set(_bundles_with(name, outputs)))
    done += [
        f"{path} is a bundle with {name} in it: delete it, and export anew without the document" for path in bundles
    ]
    if not held and not bundles:
        done.append(f"no study and no bundle below {outputs} names {name}")
    return done


def _studies_with(name: str, outputs: Path) -> Iterator[Path]:
    for settings in outputs.glob("*/study.json"):
        folder = StudyFolder(settings.parent)
        for rows in sorted(folder.path.glob("rows/*.parquet")):
            try:
                found = folder.load_rows(int(rows.stem))
            except (BadStudy, ValueError):
                continue
            if any(hit["document"] == name for row in found for hit in row["hits"]):
                yield folder.path
                break


def _bundles_with(name: str, outputs: Path) -> Iterator[Path]:
    needle = name.encode()
    for manifest in outputs.rglob("manifest.json"):
        if any(needle in path.read_bytes() for path in manifest.parent.rglob("*") if path.is_file()):
            yield manifest.parent
