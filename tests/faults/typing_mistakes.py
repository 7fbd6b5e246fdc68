"""Seeded typing mistakes on the command line and in a YAML of one's own: each is named, with the right neighbour."""

from __future__ import annotations

import contextlib
import io
import random
import sys
import traceback
from pathlib import Path
from unittest import mock

import yaml

from rag_opt.cli.composing import compose_and_run, conf_folder
from rag_opt.core.strict import PlainDict, flatten
from rag_opt.core.yaml_files import read_yaml
from rag_opt.setup.prepare import prepare
from tests.faults.outcome import Outcome

_NUMBERS = ("study.trials", "study.seed", "study.finalists", "study.search_share", "study.max_failures")
_GROUPS = {"dataset": "folder", "space": "small", "sampler": "cost_aware", "tracking": "mlflow"}


def run(rounds: int, folder: Path) -> Outcome:
    """Half of the mistakes on the command line, half in a space of one's own."""
    dice, outcome = random.Random(0), Outcome()
    space = read_yaml(conf_folder() / "space" / "small.yaml")
    for number in range(rounds):
        outcome.rounds += 1
        arguments, wanted = _on_the_command_line(dice) if number % 2 else _in_a_file(dice, space, folder)
        _judge(outcome, arguments, wanted, _run(arguments, folder))
    return outcome


def _judge(outcome: Outcome, arguments: list[str], wanted: tuple[str, str], said: tuple[int, str]) -> None:
    """`wanted`: where the message must point, and the right neighbour that it must name."""
    code, text = said
    where, neighbour = wanted
    shown = f"{arguments}: exit {code}, {text.strip()[:300]}"
    if "Traceback" in text:
        outcome.tracebacks += 1
        outcome.examples.append(shown)
    elif code == 0:
        outcome.silent += 1
        outcome.examples.append(shown)
    elif where not in text:
        outcome.unclear += 1
        outcome.examples.append(f"{shown} (without {where!r})")
    elif neighbour not in text:
        outcome.lost += 1  # of the right neighbours
        outcome.examples.append(f"{shown} (without {neighbour!r})")


def _run(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Compose and prepare as `python -m rag_opt.search` does, without searching."""
    said = io.StringIO()

    def search(composed: PlainDict, conf_folders: list[Path], name_suffix: str) -> None:
        prepare({**composed, "outputs": str(folder / "outputs")}, conf_folders=conf_folders)

    with mock.patch.object(sys, "argv", ["search", *arguments]), contextlib.redirect_stderr(said):
        try:
            compose_and_run(search)
        except SystemExit as left:
            return int(str(left.code)), said.getvalue()
        except Exception:
            return 1, traceback.format_exc()
    return 0, said.getvalue()


def _mistyped(word: str, dice: random.Random) -> str:
    """Swap, drop, double or change a letter."""
    place = dice.randrange(1, len(word) - 1) if len(word) > 2 else 0
    letters = list(word)
    match dice.randrange(4):
        case 0:
            letters[place : place + 2] = reversed(letters[place : place + 2])
        case 1:
            del letters[place]
        case 2:
            letters.insert(place, letters[place])
        case _:
            letters[place] = dice.choice("aeiourst")
    made = "".join(letters)
    return made if made != word else f"{word[:place]}x{word[place:]}"


def _on_the_command_line(dice: random.Random) -> tuple[list[str], tuple[str, str]]:
    kind = dice.randrange(4)
    if kind == 0:  # a key
        key = dice.choice([*_NUMBERS, "objective.auto", "outputs", "document_precision"])
        *before, last = key.split(".")
        wrong = ".".join([*before, _mistyped(last, dice)])
        return [f"{wrong}=3"], (wrong, last)
    if kind == 1:  # a choice
        group, choice = dice.choice(list(_GROUPS.items()))
        wrong = _mistyped(choice, dice)
        return [f"{group}={wrong}"], (group, choice)
    if kind == 2:  # a value
        key = dice.choice(_NUMBERS)
        return [f"{key}={dice.choice(['ten', '-4', '1.5.2', '1e400', '[1]', 'null', '99999999999999999999'])}"], (
            key,
            "",
        )
    what = dice.choice(
        ["study.trials", "=5", "study.name=a=b", "study.seed=1,2", "dataset.documents=Übung", "study.name=a#b"]
    )
    return [what], (what.partition("=")[0], "")


def _in_a_file(dice: random.Random, space: PlainDict, folder: Path) -> tuple[list[str], tuple[str, str]]:
    """Write the small space with a mistake, as a space of one's own."""
    conf = folder / "conf" / "space"
    conf.mkdir(parents=True, exist_ok=True)
    path = conf / "mine.yaml"
    text = "\n".join([f"# {line}" for line in ("a space of one's own",)] + [yaml.safe_dump(space, sort_keys=False)])
    lines = text.splitlines()
    arguments = ["--config-dir", str(folder / "conf"), "space=mine"]
    if dice.random() < 0.5:  # a name
        paths = [path for path in flatten(space) if path.count(".") == 2]
        slot, kind, name = dice.choice(paths).split(".")
        wrong = _mistyped(name if len(name) > 2 else kind, dice)
        right = name if len(name) > 2 else kind
        changed = {
            s: {k: dict(v or {}) for k, v in kinds.items()} if isinstance(kinds, dict) else kinds
            for s, kinds in space.items()
        }
        if right == name:
            changed[slot][kind] = {wrong if n == name else n: v for n, v in changed[slot][kind].items()}
        else:
            changed[slot] = {wrong if k == kind else k: v for k, v in changed[slot].items()}
        path.write_text(yaml.safe_dump(changed, sort_keys=False))
        return arguments, (f"space.{slot}", right)
    place = dice.choice([i for i, line in enumerate(lines) if ":" in line and line.startswith("  ")])
    broken = lines[place]
    match dice.randrange(5):
        case 0:
            broken = "\t" + broken.lstrip()
        case 1:
            broken = broken.replace(":", ": [", 1)
        case 2:
            broken = f"{broken}\n{broken}" if broken.rstrip().endswith(":") is False else broken.replace(":", ": '", 1)
        case 3:
            broken = broken.replace(":", ": !!python/name:os.system ", 1)
        case _:
            broken = broken.replace(":", ": }", 1)
    path.write_text("\n".join([*lines[:place], broken, *lines[place + 1 :]]))
    return arguments, (f"{path}:", "")
