"""Cards: one YAML file per embedding model, with what matters to run it right."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated

import yaml
from annotated_types import Ge, Le
from pydantic.dataclasses import dataclass

from rag_opt import config
from rag_opt.config import STRICT
from rag_opt.errors import BadInput, Problem, among
from rag_opt.tokens import package_folder

_LEFT_OUT = ["*.bin", "*.onnx", "*.h5"]  # the same weights in forms that are never loaded


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Card:
    """`path` is a folder, or `package:name/folder` inside an installed package; without it `id` is loaded
    from the hub at `revision`. Prompts are put before every query and document. `parameters_millions` and
    `prior_quality` (nDCG@10 of MTEB retrieval, in points) say which models a search tries first.
    """

    id: str
    dimensions: Annotated[int, Ge(1)]
    reads_tokens: Annotated[int, Ge(8)]
    path: str | None = None
    revision: str | None = None
    query_prompt: str = ""
    document_prompt: str = ""
    truncate_dimensions: Annotated[int, Ge(2)] | None = None
    parameters_millions: Annotated[float, Ge(0)] | None = None
    prior_quality: Annotated[float, Ge(0), Le(100)] | None = None

    @property
    def vector_dimensions(self) -> int:
        return self.truncate_dimensions or self.dimensions

    @property
    def folder(self) -> Path:
        """Where the model's files lie. Raises BadInput when they are not there."""
        if self.path is None:
            return self._downloaded()
        try:
            inside = self.path.startswith("package:")
            folder = package_folder(self.path.removeprefix("package:")) if inside else Path(self.path)
        except FileNotFoundError as error:
            raise BadInput([Problem(f"embedder {self.id}", str(error))]) from None
        if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
            what = f"there is no model in {folder} (neither config.json nor modules.json)"
            raise BadInput([Problem(f"embedder {self.id}", what)])
        return folder

    @property
    def download_bytes(self) -> int | None:
        """What must come from the hub before the model runs: 0 where it is here, None where nobody can say.

        As the hub says it, or else about four bytes a parameter.
        """
        from huggingface_hub import HfApi, snapshot_download

        if self.path is not None:
            return 0
        try:
            snapshot_download(self.id, revision=self.revision, ignore_patterns=_LEFT_OUT, local_files_only=True)
            return 0
        except (OSError, ValueError):  # it is not here, or `id` is none that the hub could know
            pass
        try:
            files = HfApi().model_info(self.id, revision=self.revision, files_metadata=True, timeout=10).siblings or []
            wanted = [file for file in files if not any(fnmatch(file.rfilename, one) for one in _LEFT_OUT)]
            return sum(file.size or 0 for file in wanted)
        except Exception:  # good to know, but nothing depends on it
            return None if self.parameters_millions is None else round(self.parameters_millions * 4_000_000)

    def _downloaded(self) -> Path:
        from huggingface_hub import snapshot_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            return Path(snapshot_download(self.id, revision=self.revision, ignore_patterns=_LEFT_OUT))
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
            what = f"{self.id} is neither in the local cache nor could it be downloaded: {error}"
            raise BadInput([Problem(f"embedder {self.id}", what)]) from None


@dataclass(frozen=True)
class Cards:
    """All cards found in some folders; a later folder's card replaces one of the same name."""

    folders: tuple[Path, ...]

    def names(self) -> list[str]:
        return sorted({path.stem for folder in self.folders for path in folder.glob("*.yaml")})

    def read(self, name: str, *, where: str = "embedder.model.name") -> Card:
        for folder in reversed(self.folders):
            path = folder / f"{name}.yaml"
            if path.is_file():
                data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
                return config.load(Card, data, path=str(path))
        known = self.names()
        what = f"there is no card for {name!r}{among(name, known)}"
        raise BadInput([Problem(where, what)])


def card_folders(conf_folders: Sequence[Path]) -> Cards:
    """The `embedder/` folders of the config folders in use."""
    return Cards(tuple(folder / "embedder" for folder in conf_folders if (folder / "embedder").is_dir()))
