"""What earlier studies of the same data and objective found: how good pipelines with each embedding model were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rag_opt.study.folder import StudyFolder
from rag_opt.study.trials import load_trials

_SAME = ("corpus", "set of questions", "split", "objective")


def qualities(
    folder: StudyFolder, digests: Mapping[str, str], *, sign: int, min_coverage: float
) -> tuple[dict[str, float], dict[str, str]]:
    """The best value by the name of the embedding model's card, higher is better, of all studies beside `folder`; and
    why some could not be read, by their names.

    Only studies that are comparable to the last question count: another space or baseline does not matter.
    """
    best, unreadable = dict[str, float](), dict[str, str]()
    for path in sorted(folder.path.parent.glob("*/study.json")):
        other = StudyFolder(path.parent)
        if other.name == folder.name or not other.database.exists():
            continue
        try:
            values = list(_values(other, digests, min_coverage))
        except Exception as error:  # somebody else's folder, of another version or half made: no reason to stop
            unreadable[other.name] = f"{type(error).__name__}: {error}"
            continue
        for name, value in values:
            best[name] = max(best.get(name, -float("inf")), sign * value)
    return best, unreadable


def _values(study: StudyFolder, digests: Mapping[str, str], min_coverage: float) -> Iterator[tuple[str, float]]:
    """(model, value) of its trials that could have won, if it is of the same data and objective."""
    theirs = study.settings()["digests"]
    if any(theirs.get(what) != digests[what] for what in _SAME):
        return
    for trial in load_trials(study.database, study.study_name):
        ((_, settings),) = trial.spec["embedder"].items()
        if trial.value is not None and trial.coverage >= min_coverage and "name" in settings:
            yield settings["name"], trial.value
