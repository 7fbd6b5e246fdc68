"""Every setting of `search.yaml` in words: what `--help` prints and `docs/parts.md` holds."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from pathlib import Path

from rag_opt.cli.setting_tables import Setting, list_settings, settings_table
from rag_opt.core.registry import description
from rag_opt.setup.schema import Settings

_BY_NAME = ("dataset", "space", "pipeline", "sampler")  # their settings are those of parts


def list_sections() -> Iterator[tuple[str, str, list[Setting]]]:
    """Yield every section of the config: name, description, settings; first those that stand in no section."""
    hints = typing.get_type_hints(Settings, include_extras=True)
    alone = [setting for setting in list_settings(Settings) if not _is_section(hints[setting.name])]
    yield "", "Settings that stand by themselves.", [one for one in alone if one.name not in _BY_NAME]
    for name, hint in hints.items():
        if _is_section(hint):
            yield name, description(hint), list(list_settings(typing.get_args(hint)[0]))


def _is_section(hint: object) -> bool:
    return dataclasses.is_dataclass(typing.get_args(hint)[0])


def settings_markdown() -> str:
    """Return a section of Markdown with a table for each section of the config."""
    lines = [
        "# Settings of a search",
        "",
        "As `conf/search.yaml` has them; all can be given as `section.name=value`.",
        "",
    ]
    for name, text, settings in list_sections():
        lines += [f"## {name}" if name else "## Without a section", "", text, "", *settings_table(settings)]
    return "\n".join(lines).rstrip() + "\n"


def help_text(command: str, conf_folders: list[Path]) -> str:
    """Return the help of a command that composes a config: its groups, and every setting."""
    lines = [f"python -m rag_opt.{command} [key=value ...]", "", "Groups, chosen as group=name:"]
    for group in ("dataset", "space", "pipeline", "objective", "sampler", "tracking", "llm", "experiment"):
        names = sorted({path.stem for folder in conf_folders for path in (folder / group).glob("*.yaml")})
        lines.append(f"  {group:<12} {', '.join(names)}")
    lines.append("  llm@judge    as llm; same")
    for name, _, settings in list_sections():
        lines += ["", f"{name}:" if name else "Settings, given as key=value:"]
        for setting in settings:
            key = f"{name}.{setting.name}" if name else setting.name
            lines.append(f"  {key}={setting.default}")
            lines.append(f"      {setting.description} ({setting.allowed})")
    flags = "--cfg job shows the composed config, --config-dir DIR adds your own, --multirun runs several."
    return "\n".join([*lines, "", flags, "python -m rag_opt.parts lists what a space can name."])
