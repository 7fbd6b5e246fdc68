"""What is wrong with a command line of overrides, said before Hydra reads it, each with the line to write."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag_opt.core.errors import BadInput, Problem
from rag_opt.core.yaml_files import read_yaml

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

_OVERRIDE = re.compile(r"^(?P<key>[~+]{0,2}[A-Za-z_][\w./@:-]*)=(?P<value>.*)$", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_FLAGS_WITH_VALUE = (
    "--config-dir",
    "-cd",
    "--config-path",
    "-cp",
    "--config-name",
    "-cn",
    "--package",
    "-p",
    "--cfg",
    "-c",
    "--info",
)


def refuse_unreadable(arguments: Sequence[str], config_dirs: Sequence[Path], *, ours: Path) -> None:
    """Raise BadInput for overrides that Hydra cannot parse, and for YAML of one's own that cannot be read.

    `ours`: the folder of configs that those in `config_dirs` are read in place of.
    """
    multirun = bool({"-m", "--multirun"} & set(arguments))
    problems = [p for one in _overrides(arguments) if (p := _find_problem(one, multirun=multirun)) is not None]
    problems += _find_yaml_problems(arguments, config_dirs, ours)
    if problems:
        raise BadInput(problems)


def _overrides(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments that are no flags and no values of flags."""
    follows = False
    for one in arguments:
        if not follows and not one.startswith("-"):
            yield one
        follows = one in _FLAGS_WITH_VALUE


def _find_problem(argument: str, *, multirun: bool) -> Problem | None:
    match = _OVERRIDE.match(argument)
    if match is None:
        if argument.startswith("~") and "=" not in argument:
            return None
        key = argument.partition("=")[0]
        what = "has no name before the =; write name=value" if "=" in argument else f"has no value; write {key}=VALUE"
        return Problem(argument[:80], what)
    key, value = match["key"], match["value"]
    if _CONTROL.search(argument):
        return Problem(key, f"holds a control character: {value[:80]!r}")
    override = parse(argument)
    if override is None:
        return Problem(key, f"{value[:80]!r} has a meaning to Hydra; as plain text write {as_text(key, value)}")
    if override.is_sweep_override() and not multirun:
        listed = value if value.startswith("[") else f"[{value}]"
        what = (
            f"asks for several searches; write {key}={listed} for one list, {as_text(key, value)} for text, or add -m"
        )
        return Problem(key, what)
    return None


def parse(argument: str) -> Override | None:
    """Return an override as Hydra reads it, None where it cannot."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        return OverridesParser.create().parse_override(argument)
    except HydraException:
        return None


def as_text(key: str, value: str) -> str:
    """Return the override that gives a setting this text, quoted for Hydra and for the shell."""
    bare = value.strip("'\"")
    escaped = bare.replace("\\", "\\\\").replace('"', '\\"')
    return shlex.quote(f'{key}="{escaped}"')


def _find_yaml_problems(arguments: Sequence[str], config_dirs: Sequence[Path], ours: Path) -> list[Problem]:
    """Return what is wrong with the files that a person's own folders put in place of ours."""
    chosen = {
        match["key"].lstrip("+~").partition("@")[0]: match["value"]
        for one in arguments
        if (match := _OVERRIDE.match(one))
    }
    in_place = {path.relative_to(ours) for path in ours.rglob("*.yaml")}  # theirs of the same name are read
    named = {Path(group) / f"{choice}.yaml" for group, choice in chosen.items()}
    problems: list[Problem] = []
    for path in (folder / name for folder in config_dirs for name in sorted(in_place | named)):
        if path.is_file():
            try:
                read_yaml(path)
            except BadInput as error:
                problems += error.problems
    return problems


def describe_merged_slots(overrides: Sequence[str], composed: Mapping[Any, object]) -> Iterator[str]:
    """Yield where a mapping was given for a slot of the space, and kinds of the named space are still beside its own.

    Hydra merges mappings; a person may have meant to replace.
    """
    space = composed.get("space")
    for one in overrides:
        override = parse(one)
        given = override.value() if override is not None and not override.is_sweep_override() else None
        path = override.key_or_group.split(".") if override is not None else []
        if not isinstance(given, dict) or len(path) != 2 or path[0] != "space" or not isinstance(space, Mapping):
            continue
        there = space.get(path[1])
        others = there.items() if isinstance(there, Mapping) else ()
        kept = [str(kind) for kind, settings in others if kind not in given and settings is not None]
        if kept:
            only = f"only.{path[1]}=[{','.join(map(str, given))}]"
            still = f"{', '.join(kept)} are still there; {only} keeps the given alone"
            yield f"{'.'.join(path)}={{…}} adds to the space: {still}"
