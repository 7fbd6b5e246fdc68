"""What earlier studies of the same data and objective found: how good pipelines with each embedding model were."""

from __future__ import annotations

from collections.abc import Mapping

from rag_opt.study.folder import StudyFolder
from rag_opt.study.trials import load_trials

_SAME = ("corpus", "set of questions", "split", "objective")


def qualities(folder: StudyFolder, digests: Mapping[str, str], *, sign: int) -> dict[str, float]:
    """The best value by the name of the embedding model's card, higher is better; of all studies beside `folder`.

    Only studies that are comparable to the last question count: another space or baseline does not matter.
    """
    best: dict[str, float] = {}
    for path in sorted(folder.path.parent.glob("*/study.json")):
        other = StudyFolder(path.parent)
        if other.name == folder.name or not other.database.exists():
            continue
        theirs = other.settings()["digests"]
        if any(theirs.get(what) != digests[what] for what in _SAME):
            continue
        for trial in load_trials(other.database, other.study_name):
            ((_, settings),) = trial.spec["embedder"].items()
            if trial.value is not None and "name" in settings:
                best[settings["name"]] = max(best.get(settings["name"], -float("inf")), sign * trial.value)
    return best
