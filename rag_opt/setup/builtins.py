"""Everything that registers by being imported: parts, samplers, readers of data sets, and plug-ins."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from rag_opt.core.registry import import_tree, load_parts

_INTERFACES = (
    "rag_opt.parts.interfaces",
    "rag_opt.evaluation.interfaces",
    "rag_opt.data.datasets.interfaces",
    "rag_opt.study.samplers.interfaces",
)
_BESIDE_PARTS = ("rag_opt.data.datasets", "rag_opt.study.samplers")


def load_built_in(plugins: Sequence[str] = ()) -> None:
    """Make every built-in part, reader and sampler known, and those of the named packages.

    Raises BadInput for a package that is missing, or one of whose parts is not as its slot asks.
    """
    declare_slots()
    for package in _BESIDE_PARTS:
        import_tree(package)
    load_parts(plugins)


def declare_slots() -> None:
    """Make every slot known, so that parts can register."""
    for module in _INTERFACES:
        importlib.import_module(module)
