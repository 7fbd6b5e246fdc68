"""A search from Python: the same as the command, without leaving the process."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson
from rich.console import Console

from rag_opt.cli.composing import compose, conf_folder
from rag_opt.cli.search_session import run_session
from rag_opt.cli.signals import Stop
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.strict import PlainMapping
from rag_opt.production.adapters.framework_documents import to_json_lines
from rag_opt.report.study import Study
from rag_opt.setup.prepare import prepare
from rag_opt.store.artifacts import write_atomically


def run_search(
    overrides: Sequence[str] = (),
    *,
    documents: Iterable[object] | None = None,
    questions: Iterable[PlainMapping] | None = None,
    config_dirs: Sequence[str | Path] = (),
    quiet: bool = False,
) -> Study:
    """Search, and return the study; the same call goes on with one that was stopped.

    `overrides` are those of the command line, as `["study.trials=20", "space=wide"]`; `config_dirs` are folders of
    one's own configs, of which a later one wins. `documents`: texts, or Documents of LangChain, LlamaIndex, Haystack or
    rag_opt, instead of a data set's; `questions`: with them, each as a line of a file of questions has it
    (docs/your_own_data.md). Both are kept in the outputs folder, in files that are named for their content. `quiet`
    prints nothing. Raises BadInput listing everything that is wrong with the settings and the data, and other
    RagOptErrors where the search cannot go on.
    """
    folders = [Path(folder) for folder in config_dirs]
    composed = compose(overrides, folders)
    if documents is not None or questions is not None:
        composed = compose(
            [*overrides, "dataset=folder", "dataset.documents=given", "dataset.questions=given"], folders
        )
        composed["dataset"] |= _keep_given(Path(str(composed["outputs"])), documents, questions)
    console = Console(highlight=False, quiet=quiet)
    conf_folders = [conf_folder(), *folders]

    def announce(text: str) -> None:
        console.print(text)
        logging.getLogger("rag_opt").info(text)

    prepared = prepare(composed, conf_folders=conf_folders, announce=announce, reading=announce)
    run_session(prepared, composed, conf_folders, console=console, stop=Stop())
    return Study(prepared.search.folder.path)


def _keep_given(
    outputs: Path, documents: Iterable[object] | None, questions: Iterable[PlainMapping] | None
) -> dict[str, str]:
    """Write what was given into files, and return the settings that name them. Raises BadInput for half of it."""
    if documents is None or questions is None:
        missing = "documents" if documents is None else "questions"
        raise BadInput([Problem(missing, "is missing: documents and questions are given together")])
    kept = {}
    for name, content in (("documents", to_json_lines(documents)), ("questions", _to_lines(questions))):
        path = outputs / ".given" / f"{name}-{digest(content.decode())[:16]}.jsonl"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
        kept[name] = str(path)
    return kept


def _to_lines(questions: Iterable[PlainMapping]) -> bytes:
    lines = []
    for number, line in enumerate(questions):
        try:
            lines.append(orjson.dumps(dict(line), option=orjson.OPT_APPEND_NEWLINE))
        except (TypeError, ValueError) as error:
            raise BadInput([Problem(f"questions[{number}]", f"cannot be written as JSON: {error}")]) from None
    return b"".join(lines)
