"""Findings of earlier studies of the same data and objective: how good pipelines with each embedding model were."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rag_opt.study.folder import StudyFolder
from rag_opt.study.trials import load_trials

_MUST_BE_EQUAL = ("corpus", "set of questions", "split", "objective")


def find_model_qualities(
    folder: StudyFolder, digests: Mapping[str, str], *, sign: int
) -> tuple[dict[str, float], dict[str, str]]:
    """Return the best value of each embedding model in the studies beside `folder`, and those that are unreadable.

    Values by the name of the model's card, higher is better; unreadable studies by name, with the reason. Only studies
    that are comparable to the last question count: another space or baseline does not matter.
    """
    best, unreadable = dict[str, float](), dict[str, str]()
    for path in sorted(folder.path.parent.glob("*/study.json")):
        other = StudyFolder(path.parent)
        if other.name == folder.name or not other.database.exists():
            continue
        try:
            values = list(_values_by_model(other, digests))
        except Exception as error:  # somebody else's folder, of another version or half made: no reason to stop
            unreadable[other.name] = f"{type(error).__name__}: {error}"
            continue
        for name, value in values:
            best[name] = max(best.get(name, -float("inf")), sign * value)
    return best, unreadable


def _values_by_model(folder: StudyFolder, digests: Mapping[str, str]) -> Iterator[tuple[str, float]]:
    """Yield (model, value) of a study's trials that could have won, if it is of the same data and objective."""
    stored = folder.settings()["digests"]
    if any(stored.get(name) != digests[name] for name in _MUST_BE_EQUAL):
        return
    for trial in load_trials(folder.database, folder.study_name):
        ((_, settings),) = trial.spec["embedder"].items()
        if trial.value is not None and "name" in settings:
            yield settings["name"], trial.value
