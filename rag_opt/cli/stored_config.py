"""The config that a study was searched with, as its folder keeps it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from rag_opt.cli.composing import conf_folder
from rag_opt.core.strict import PlainDict
from rag_opt.study.folder import StudyFolder


@contextlib.contextmanager
def stored_config(folder: StudyFolder) -> Iterator[tuple[PlainDict, list[Path]]]:
    """Give a study's composed config, without tracking, and its folders of configs, where its relative paths hold.

    The study may have been moved: outputs and name are those of its folder now.
    """
    settings = folder.settings()["settings"]
    composed: PlainDict = {**settings["composed"], "outputs": str(folder.path.parent)}
    composed["tracking"] = {"enabled": False}
    composed["study"] = {**composed["study"], "name": folder.name}
    folders = [Path(name) for name in settings.get("conf_folders", [])] or [conf_folder()]
    place = Path(settings.get("cwd", "."))
    with contextlib.chdir(place if place.is_dir() else "."):
        yield composed, folders
