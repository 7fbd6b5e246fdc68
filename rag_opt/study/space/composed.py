"""The space of a study as its settings keep it."""

from __future__ import annotations

from rag_opt.core.strict import PlainMapping
from rag_opt.study.space.domains import Choice
from rag_opt.study.space.space import Space


def read_space(composed: PlainMapping) -> Space:
    """Return the space that a composed config describes. Raises BadInput where a part of it is not known here."""
    only = {slot: kinds for slot, kinds in (composed.get("only") or {}).items() if kinds is not None}
    return Space.from_dict(composed["space"], rest=composed["pipeline"], only=only)


def searched_paths(space: Space) -> list[str]:
    """Return the paths of everything that a space leaves to choose: kinds, and settings of more than one value."""
    paths = [slot for slot, kinds in space.tree.items() if len(kinds) > 1]
    for slot, kind, parameters in space.branches():
        single = [name for name, domain in parameters.items() if isinstance(domain, Choice) and len(domain) == 1]
        paths += [f"{slot}.{kind}.{name}" for name in parameters if name not in single]
    return paths
