"""Composing a config by Hydra, for the commands and for Python, with errors that help."""

from __future__ import annotations

import functools
import gc
import itertools
import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import yaml

from rag_opt.cli.doors import DOORS, describe_examples
from rag_opt.cli.override_errors import describe_merged_slots, refuse_unreadable
from rag_opt.cli.signals import Stopped, describe_stop, stop_at_once
from rag_opt.core.digests import digest
from rag_opt.core.errors import BadInput, Problem, RagOptError, suggest_names
from rag_opt.core.faults import explain_fault
from rag_opt.core.yaml_files import explain_yaml_error

if TYPE_CHECKING:
    from rag_opt.core.strict import PlainDict  # Pydantic is loaded after Ctrl-C is handled

Main: TypeAlias = "Callable[[PlainDict, list[Path], str], Path | None]"


def conf_folder() -> Path:
    """Return the folder of configs: inside the package in an installed wheel, beside it in a checkout."""
    here = Path(__file__).parent.parent
    return here / "conf" if (here / "conf").is_dir() else here.parent / "conf"


def collect_seldom() -> None:
    """Have Python look for garbage much less often than it does by itself (every 700 new objects, or 2,000).

    The libraries leave 800,000 objects that stay; to look through them takes half a second, ten times during the
    imports and again during the search (docs/history.md).
    """
    gc.set_threshold(50_000, 10, 10)


def compose_and_run(main: Main) -> None:
    """Compose `search.yaml` with the command line's overrides and call `main(settings, conf folders, name suffix)`.

    Exits with 2 and every problem listed when the input cannot be used.
    """
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us whole, and we say them better
    _offline_quiet()
    collect_seldom()
    stop_at_once()
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    caught, studies = list[Exception](), list[Path]()

    @functools.wraps(main)
    def composed(cfg: Any) -> None:
        job = HydraConfig.get()
        sources = [Path(source.path) for source in job.runtime.config_sources if source.schema == "file"]
        swept = job.mode is not None and job.mode.name == "MULTIRUN"
        params = [f"{key}={value}" for key, value in (job.sweeper.get("params") or {}).items()] if swept else []
        suffix = _job_suffix(list(job.overrides.task), [*sys.argv[1:], *params]) if swept else ""
        plain = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=False)
        assert isinstance(plain, dict)
        for note in describe_merged_slots(list(job.overrides.task), plain):
            print(f"note: {note}", file=sys.stderr)
        # the folder given first on the search path wins in Hydra; ours are read last-wins
        if caught:  # an earlier job of a multirun
            return
        try:
            study = main({str(key): value for key, value in plain.items()}, sources[::-1], suffix)
            studies.extend([study] if study is not None else [])
        except Exception as error:  # Hydra would print every override, whatever stands in it
            caught.append(error)

    sys.argv[1:] = flags_first(sys.argv[1:])
    config_dirs = _config_dirs(sys.argv[1:])
    if {"--help", "-h"} & set(sys.argv[1:]):
        _print_help(main.__name__, config_dirs)
        return
    try:
        refuse_unreadable(sys.argv[1:], config_dirs, ours=conf_folder())
        hydra.main(config_path=str(conf_folder()), config_name="search", version_base="1.3")(composed)()
        for error in caught:
            raise error
        _print_studies(studies)
    except (HydraException, OmegaConfBaseException) as error:
        fail(BadInput(_explained(error, sys.argv[1:], config_dirs)))
    except yaml.YAMLError as error:
        fail(BadInput([explain_yaml_error(error)]))
    except KeyboardInterrupt as stopped:
        print(describe_stop())
        raise SystemExit(stopped.exit_code if isinstance(stopped, Stopped) else 130) from None
    except Exception as error:  # of any class: a fault of the machine is told as one, another is left to Python
        told = explain_fault(error)
        if told is None:
            raise
        fail(told)


def _print_help(command: str, config_dirs: Sequence[Path]) -> None:
    from rag_opt.cli.settings_reference import help_text

    print(help_text(command, [conf_folder(), *config_dirs]))
    if command in DOORS:
        print(f"\n{describe_examples(command)}")


def _print_studies(studies: Sequence[Path]) -> None:
    """Print what the studies of a multirun came to."""
    if len(studies) > 1:
        from rag_opt.cli.multirun_summary import describe_studies

        print(describe_studies(studies))


def flags_first(arguments: list[str]) -> list[str]:
    """Return the arguments with flags before overrides, as Hydra wants them; a person may write them anywhere."""
    overrides = [one for one in arguments if one.startswith("~") or ("=" in one and one[0] not in "-/.")]
    return [one for one in arguments if one not in overrides] + overrides


def fail(error: RagOptError) -> None:
    """Print what is wrong on stderr and leave with 2."""
    problems = error.problems if isinstance(error, BadInput) else (Problem("", str(error)),)
    count = f"{len(problems)} problems:" if len(problems) > 1 else "Problem:"
    print(f"{count}", *(f"  {problem}" for problem in problems), sep="\n", file=sys.stderr)
    raise SystemExit(2)


def announce(text: str) -> None:
    """Print what takes a while before a search begins (reading, downloading), on stderr."""
    print(text, file=sys.stderr, flush=True)


def _job_suffix(job: list[str], arguments: list[str]) -> str:
    """Return the end of a multirun job's study name, which sets it apart: `-study.seed=2`."""
    from hydra.core.override_parser.overrides_parser import OverridesParser

    overrides = OverridesParser.create().parse_overrides([a for a in arguments if "=" in a and not a.startswith("-")])
    swept = {one.get_key_element() for one in overrides if one.is_sweep_override()}
    if "study.name" in swept:
        return ""
    mine = [one for one in job if one.partition("=")[0] in swept]
    name = "".join("-" + re.sub(r"[^\w.=]+", "_", one) for one in mine)
    return name if len(name) <= 80 else f"{name[:60]}-{digest(mine)[:8]}"


def _explained(error: Exception, arguments: list[str], config_dirs: list[Path]) -> list[Problem]:
    """Return every override whose key or choice does not exist, with the nearest name; else Hydra's own words."""
    folders = [conf_folder(), *config_dirs]
    overrides = [match for a in arguments if (match := _OVERRIDE.match(a))]
    problems = [p for key, value in (m.groups() for m in overrides) if (p := _bad_choice(key, value, folders))]
    chosen = [m[0] for m in overrides if _choices(m[1], folders) and _bad_choice(m[1], m[2], folders) is None]
    whole = compose(chosen, config_dirs, resolve=False)
    problems += [p for m in overrides if not _choices(m[1], folders) and (p := _bad_key(m[1], whole))]
    return problems or [Problem("", " ".join(str(error).split("\n")[:3]))]


_OVERRIDE = re.compile(r"^([A-Za-z_][\w./@]*)=(.*)$", re.DOTALL)  # not +key=…, ~key or --flag


def _config_dirs(arguments: list[str]) -> list[Path]:
    """Return the folders that `--config-dir` (`-cd`) names."""
    found = []
    for flag, following in itertools.zip_longest(arguments, arguments[1:], fillvalue=""):
        name, _, value = flag.partition("=")
        if name in ("--config-dir", "-cd"):
            found.append(Path(value or following))
    return found


def _choices(group: str, folders: list[Path]) -> list[str]:
    inside = group.partition("@")[0]  # llm@judge: a file of llm/, put at judge
    return sorted({path.stem for folder in folders for path in (folder / inside).glob("*.yaml")})


def _groups() -> set[str]:
    """Return the config groups that one file is chosen from."""
    defaults = yaml.safe_load((conf_folder() / "search.yaml").read_text(encoding="utf-8"))["defaults"]
    return {name for entry in defaults if isinstance(entry, dict) for name in entry}


def _bad_choice(key: str, value: str, folders: list[Path]) -> Problem | None:
    known = _choices(key, folders)
    if key.startswith("hydra/"):
        plugin = f"pip install hydra-{value}-{key.partition('/')[2]}"
        return Problem(
            key, f"Hydra has no {value!r} here; its plug-ins are packages of their own ({plugin}, if it exists)"
        )
    if not known:
        return None
    if key not in _groups():
        return Problem(key, f"is a folder of cards that the space names; write space.{key}.model.name=[{value}]")
    if value in ("null", *known):
        return None
    return Problem(key, f"there is no {key} called {value!r}{suggest_names(value, known)}")


def compose(overrides: Sequence[str], config_dirs: Sequence[Path] = (), *, resolve: bool = True) -> PlainDict:
    """Return `search.yaml` composed with overrides as on the command line, in plain data.

    A later folder of `config_dirs` wins over an earlier one and over ours. Raises BadInput for an override that names
    nothing.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    refuse_unreadable(overrides, config_dirs, ours=conf_folder())
    GlobalHydra.instance().clear()
    paths = ",".join(f"file://{folder.resolve()}" for folder in reversed(config_dirs))
    try:
        with initialize_config_dir(str(conf_folder()), version_base="1.3"):
            config = compose("search", [*overrides, f"hydra.searchpath=[{paths}]"])
            whole = OmegaConf.to_container(config, resolve=resolve)
    except (HydraException, OmegaConfBaseException) as error:
        raise BadInput(_explained(error, list(overrides), list(config_dirs)) if resolve else str(error)) from None
    finally:
        GlobalHydra.instance().clear()
    assert isinstance(whole, dict)
    return {str(key): value for key, value in whole.items()}


def _bad_key(key: str, whole: PlainDict) -> Problem | None:
    inside: Any = whole
    for step in key.split("."):
        if not isinstance(inside, dict) or step not in inside:
            if key.startswith("judge.") and "base_url" not in whole.get("judge", {}):
                what = f"there is no setting {step!r} while the model that answers judges too"
                return Problem(key, f"{what}; llm@judge=openai_compatible names another")
            if (addable := _describe_addable(key)) is not None:
                return Problem(key, addable)
            names = list(inside) if isinstance(inside, dict) else []
            new = "" if names else f"; a name of your own is added with a plus: +{key}=…"
            return Problem(key, f"there is no setting {step!r}{new or suggest_names(step, names)}")
        inside = inside[step]
    return None


def _describe_addable(key: str) -> str | None:
    """Return how a setting is added that its part has, and the config does not name; its nearest name otherwise."""
    match = re.fullmatch(r"(space|pipeline)\.(\w+)\.(\w+)\.(\w+)", key)
    if match is None:
        return None
    from rag_opt.core.registry import kinds, load_parts
    from rag_opt.core.strict import field_names

    load_parts()
    group, slot, kind, name = match.groups()
    part = kinds(slot).get(kind)
    if part is None:
        return None
    names = field_names(part)
    if name in names:
        return f"{group} does not name this setting of {kind} yet; a plus adds it: +{key}=…"
    return f"{kind} has no setting {name!r}{suggest_names(name, names)}"


def _offline_quiet() -> None:
    """Tell libraries not to talk to anybody, nor over the display."""
    logging.getLogger("bm25s").addFilter(lambda record: record.levelno >= logging.WARNING)  # it sets its own level
    os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
