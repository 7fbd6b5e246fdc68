"""Learning from earlier studies: their best pipelines are tried first, and a sampler begins where they left off."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rag_opt.core.arrays import FloatArray
from rag_opt.core.errors import BadInput, BadStudy, Problem, suggest_names
from rag_opt.pipeline.spec import SpecDict
from rag_opt.study.folder import StudyFolder
from rag_opt.study.samplers.surrogate import Features, Surrogate
from rag_opt.study.space.space import Space
from rag_opt.study.trials import Trial, load_direction, load_trials

NONE, SAME, ALL = "none", "same", "all"
PORTFOLIO = "portfolio"  # origin of a trial that an earlier study proposes
PORTFOLIO_SIZE = 6
_CANDIDATES = 5  # the best pipelines of a study that a portfolio is chosen from
_SAME_DATA = ("corpus", "set of questions")


@dataclass(frozen=True)
class EarlierStudy:
    """An earlier study: its scored pipelines, best first, with their scores, higher is better.

    `finalists`: their positions in `specs`, the winner first. `could_win`: which of `specs` kept the guards there.
    `same_data`: it asked the same questions about the same documents.
    """

    name: str
    same_data: bool
    specs: tuple[SpecDict, ...]
    scores: FloatArray
    finalists: tuple[int, ...] = ()
    could_win: tuple[bool, ...] = ()


def find_earlier_studies(
    folder: StudyFolder, digests: Mapping[str, str], *, learn_from: str
) -> tuple[list[EarlierStudy], list[str]]:
    """Return the studies beside `folder` that can be learned from, and notes of those that cannot be read.

    `learn_from`: same (data and objective), all (of this objective), or the name of a study. Raises BadInput for a name
    that there is not.
    """
    paths = {path.parent.name: path.parent for path in sorted(folder.path.parent.glob("*/study.json"))}
    paths.pop(folder.name, None)
    if learn_from not in (SAME, ALL):
        if learn_from not in paths:
            what = f"there is no study {learn_from!r} in {folder.path.parent}{suggest_names(learn_from, paths)}"
            raise BadInput([Problem("study.learn_from", f"{what}; or none, same, all")])
        paths = {learn_from: paths[learn_from]}
    found, notes = list[EarlierStudy](), list[str]()
    for name, path in paths.items():
        try:
            study = _read(StudyFolder(path), digests, is_named=learn_from == name)
        except Exception as error:  # somebody else's folder, of another version or half made: no reason to stop
            notes.append(f"the study {name!r} could not be read: {type(error).__name__}: {error}")
            continue
        if study is not None and (study.same_data or learn_from != SAME):
            found.append(study)
    return found, notes


def count_comparable(folder: StudyFolder, digests: Mapping[str, str]) -> tuple[int, int]:
    """Return how many studies beside `folder` have the same objective: on the same data, and on other data."""
    same = other = 0
    for path in folder.path.parent.glob("*/study.json"):
        if path.parent.name == folder.name:
            continue
        try:
            stored = StudyFolder(path.parent).settings()["digests"]
        except (OSError, ValueError, KeyError, BadStudy):
            continue
        if stored.get("objective") == digests["objective"]:
            on_same = all(stored.get(name) == digests[name] for name in _SAME_DATA)
            same, other = same + on_same, other + (not on_same)
    return same, other


def _read(folder: StudyFolder, digests: Mapping[str, str], *, is_named: bool) -> EarlierStudy | None:
    """Return a study's scored trials; None for one of another objective that was not asked for by name."""
    stored = folder.settings()["digests"]
    if stored.get("objective") != digests["objective"] and not is_named:
        return None
    sign = load_direction(folder.database, folder.study_name)
    scored = [t for t in load_trials(folder.database, folder.study_name) if t.value is not None]
    scored.sort(key=lambda trial: -sign * (trial.value or 0.0))
    asked = _finalists(folder)
    return EarlierStudy(
        name=folder.name,
        same_data=all(stored.get(name) == digests[name] for name in _SAME_DATA),
        specs=tuple(trial.spec for trial in scored),
        scores=sign * np.array([trial.value for trial in scored], float),
        finalists=tuple(_position(scored, number) for number in asked if _position(scored, number) >= 0),
        could_win=tuple(not trial.outside for trial in scored),
    )


def _finalists(folder: StudyFolder) -> list[int]:
    """Return the finalists of a finished study, the winner first; none of an unfinished one."""
    result = folder.result()
    if result is None:
        return []
    others = [int(number) for number in result["pooled_means"] if int(number) != result["winner"]]
    return [int(result["winner"]), *others]


def _position(trials: Sequence[Trial], number: int) -> int:
    return next((position for position, trial in enumerate(trials) if trial.number == number), -1)


def build_portfolio(studies: Sequence[EarlierStudy], space: Space, *, count: int = PORTFOLIO_SIZE) -> list[SpecDict]:
    """Return up to `count` pipelines of the space that together are good wherever one of the studies found them good.

    Candidates are the finalists and the best pipelines of each study. The next one is always that which most improves
    the mean over studies of the best value chosen so far (greedy portfolios: Feurer et al., 2022), by each study's own
    surrogate, in units of the deviation of its scores.
    """
    candidates = list({repr(spec): spec for study in studies for spec in _candidates(study, space)}.values())
    if not candidates:
        return []
    predicted = Expectations(studies, space).by_study(candidates)
    chosen: list[int] = []
    reached = np.full(len(predicted), -np.inf)
    while len(chosen) < min(count, len(candidates)):
        covered = np.maximum(reached[:, None], predicted).mean(axis=0)
        covered[chosen] = -np.inf
        best = int(np.lexsort((-np.arange(len(candidates)), predicted.mean(axis=0), covered))[-1])
        chosen.append(best)
        reached = np.maximum(reached, predicted[:, best])
    return [candidates[i] for i in chosen]


def _candidates(study: EarlierStudy, space: Space) -> Iterator[SpecDict]:
    could_win = study.could_win or [True] * len(study.specs)
    best = [position for position, kept in enumerate(could_win) if kept][:_CANDIDATES]
    for position in dict.fromkeys([*study.finalists, *best]):
        if study.specs[position] in space:
            yield study.specs[position]


class Expectations:
    """What earlier studies expect of a pipeline, each by a surrogate of its own, standardised by its scores.

    Studies that cannot be fitted (too few scores, or equal ones) say nothing.
    """

    def __init__(self, studies: Sequence[EarlierStudy], space: Space) -> None:
        self._surrogates: list[Surrogate] = []
        for study in studies:
            try:
                self._surrogates.append(Surrogate.fit(Features(space), study.specs, study.scores))
            except (ValueError, KeyError, TypeError, np.linalg.LinAlgError):  # of pipelines with other slots, too
                continue

    def by_study(self, specs: Sequence[SpecDict]) -> FloatArray:
        """Return [studies, specs]: deviations above a study's mean score; one row of zeros where none says anything."""
        rows = [(surrogate.predict(specs)[0] - surrogate.mean) / surrogate.scale for surrogate in self._surrogates]
        return np.array(rows) if rows else np.zeros((1, len(specs)))

    def mean(self, specs: Sequence[SpecDict]) -> FloatArray:
        """Return [specs], averaged over the studies."""
        expected: FloatArray = self.by_study(specs).mean(axis=0)
        return expected
