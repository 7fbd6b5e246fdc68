"""A search from Python: the same as the command, without leaving the process."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rag_opt.cli.composing import compose, conf_folder
from rag_opt.cli.search_session import run_session
from rag_opt.cli.signals import Stop
from rag_opt.report.study import Study
from rag_opt.setup.prepare import prepare


def run_search(overrides: Sequence[str] = (), *, config_dirs: Sequence[str | Path] = (), quiet: bool = False) -> Study:
    """Search, and return the study; the same call goes on with one that was stopped.

    `overrides` are those of the command line, as `["study.trials=20", "space=wide"]`; `config_dirs` are folders of
    one's own configs, of which a later one wins. `quiet` prints nothing. Raises BadInput listing everything that is
    wrong with the settings and the data, and other RagOptErrors where the search cannot go on.
    """
    folders = [Path(folder) for folder in config_dirs]
    composed = compose(overrides, folders)
    console = Console(highlight=False, quiet=quiet)
    conf_folders = [conf_folder(), *folders]

    def announce(text: str) -> None:
        console.print(text)
        logging.getLogger("rag_opt").info(text)

    prepared = prepare(composed, conf_folders=conf_folders, announce=announce, reading=announce)
    run_session(prepared, composed, conf_folders, console=console, stop=Stop())
    return Study(prepared.search.folder.path)
