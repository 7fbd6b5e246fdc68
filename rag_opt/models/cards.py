"""Cards: one YAML file per model, with what matters to choose it and to run it right."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar

import orjson
import yaml
from annotated_types import Ge
from pydantic.dataclasses import dataclass

from rag_opt.core import strict as config
from rag_opt.core.errors import BadInput, Problem, among
from rag_opt.core.strict import STRICT
from rag_opt.text.tokens import package_folder

_LEFT_OUT = ["*.bin", "*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.gguf"]  # forms never loaded
_USUAL_TOKENS = 512
_NO_LIMIT = 10_000_000  # transformers writes a far larger number where there is none
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelCard:
    """What every card says. `path` is a folder, or `package:name/folder` inside an installed package; without it `id`
    is loaded from the hub at `revision`. A model behind a server has its `url` (`key_variable`: the environment
    variable that holds its key; `served_as`: what the server calls it, where that is not `id`). `tokenizer`: a path as
    above or an id on the hub, where it is not the model's own. `languages`: ISO 639-1 codes, or `multilingual`, or
    none where nobody said. `dtype`: of the weights in memory; queries are encoded in it one by one unless it is
    float32. `verified` False: inferred from the model's files, read by nobody.
    """

    id: str
    reads_tokens: Annotated[int, Ge(8)]
    path: str | None = None
    revision: str | None = None
    url: str | None = None
    key_variable: str | None = None
    served_as: str | None = None
    tokenizer: str | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"
    parameters_millions: Annotated[float, Ge(0)] | None = None
    languages: list[str] = field(default_factory=list)
    licence: str = ""
    commercial_use: bool = True
    custom_code: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    source: str = ""
    note: str = ""
    verified: bool = True

    @property
    def where(self) -> str:
        """How problems name it."""
        return f"model {self.id}"

    @property
    def served(self) -> bool:
        """Whether a server runs it."""
        return self.url is not None

    @property
    def memory_gb(self) -> float | None:
        """Of its weights; None where the card does not say how many parameters it has."""
        if self.parameters_millions is None:
            return None
        return self.parameters_millions * _BYTES[self.dtype] / 1000

    def speaks(self, language: str) -> bool:
        """Whether it was made for a language; a card that names none is given the benefit of the doubt."""
        return not self.languages or not language or language in self.languages or "multilingual" in self.languages

    @property
    def folder(self) -> Path:
        """Where the model's files lie. Raises BadInput when they are not there."""
        if self.path is None:
            return _from_hub(self, self.id)
        folder = _local(self.path, self.where)
        if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
            what = f"there is no model in {folder} (neither config.json nor modules.json)"
            raise BadInput([Problem(self.where, what)])
        return folder

    @property
    def tokenizer_file(self) -> Path:
        """The `tokenizer.json` that its texts are counted with. Raises BadInput when it is not there."""
        if self.tokenizer is not None and (self.tokenizer.startswith("package:") or Path(self.tokenizer).is_dir()):
            return _local(self.tokenizer, self.where) / "tokenizer.json"
        if self.tokenizer is None and (self.path is not None or not self.served):
            return self.folder / "tokenizer.json"
        try:
            return _from_hub(self, self.tokenizer or self.id, only="tokenizer.json") / "tokenizer.json"
        except BadInput as error:
            hint = "; its tokenizer counts the tokens of chunks: `tokenizer` in its card may name a folder with one"
            raise BadInput([Problem(one.where, one.what + hint) for one in error.problems]) from None

    def file(self, name: str) -> Path:
        """One of the model's files, without the others where it is on the hub."""
        return self.folder / name if self.path is not None else _from_hub(self, self.id, only=name) / name

    @property
    def download_bytes(self) -> int | None:
        """What must come from the hub before the model runs: 0 where it is here, None where nobody can say.

        As the hub says it, or else as the number of its parameters says.
        """
        from huggingface_hub import HfApi, snapshot_download

        if self.path is not None or self.served:
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


def _local(path: str, where: str) -> Path:
    try:
        return package_folder(path.removeprefix("package:")) if path.startswith("package:") else Path(path)
    except FileNotFoundError as error:
        raise BadInput([Problem(where, str(error))]) from None


def _from_hub(card: ModelCard, name: str, *, only: str | None = None) -> Path:
    """A snapshot of a model in the local cache, downloaded where it is not there. HF_HOME, HF_TOKEN, HF_ENDPOINT and
    proxies are huggingface_hub's own business."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    revision = card.revision if name == card.id else None
    limits: dict[str, Any] = {"ignore_patterns": _LEFT_OUT} if only is None else {"allow_patterns": [only]}
    try:
        return Path(snapshot_download(name, revision=revision, **limits))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        what = f"{name} is neither in the local cache nor could it be downloaded: {error}"
        raise BadInput([Problem(card.where, what)]) from None


def read_json(path: Path, default: Any = None) -> Any:
    """What a file says; `default`, or nothing, where there is none."""
    return orjson.loads(path.read_bytes()) if path.is_file() else ({} if default is None else default)


def reads_tokens(folder: Path) -> int:
    """Tokens that a model reads, by its files: as sentence-transformers or its tokenizer limits it, else as its
    positions do (RoBERTa's begin after the padding id).
    """
    given = read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    longest = read_json(folder / "tokenizer_config.json").get("model_max_length")
    if given:
        return int(given)
    if longest and longest < _NO_LIMIT:
        return int(longest)
    config = read_json(folder / "config.json")
    positions = config.get("max_position_embeddings") or _USUAL_TOKENS
    offset = config.get("pad_token_id", 1) + 1 if "roberta" in str(config.get("model_type", "")) else 0
    return max(int(positions) - int(offset), 8)


Kind = TypeVar("Kind")


@plain_dataclass(frozen=True)
class CardLibrary(Generic[Kind]):
    """All cards of one kind found in some folders; a later folder's card replaces one of the same name.

    A name that is an id of the hub (`org/model`) or a folder needs no card: `infer` makes one of its files.
    `changes`: settings by card name that a person changed for this run.
    """

    kind: type[Kind]
    where: str
    folders: tuple[Path, ...]
    infer: Callable[[str], Kind] | None = None
    changes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    noun: str = "card"

    @functools.cached_property
    def _read(self) -> dict[str, Kind]:
        return {}

    def names(self) -> list[str]:
        return sorted({path.stem for folder in self.folders for path in folder.glob("*.yaml")})

    def read(self, name: str, *, where: str = "") -> Kind:
        """Raises BadInput for a card that is not there, or wrong."""
        if name not in self._read:
            card = self._found(name, where or self.where)
            changes = self.changes.get(name)
            if changes:
                changed = {**config.dump(card), **changes}
                if any("prompt" in one or one == "task" for one in changes) and "golden" in changed:
                    changed["golden"] = changes.get("golden", {})  # those of the card are of its own prompts
                card = config.load(self.kind, changed, path=f"{self.where.split('.')[0]}.cards.{name}")
            self._read[name] = card
        return self._read[name]

    def _found(self, name: str, where: str) -> Kind:
        for folder in reversed(self.folders):
            path = folder / f"{name.replace('/', '--')}.yaml"
            if path.is_file():
                data = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
                return config.load(self.kind, data, path=str(path))
        if self.infer is not None and name.startswith(("/", "./", "../", "~")) and not Path(name).is_dir():
            raise BadInput([Problem(where, f"there is no folder {name!r}")])
        if self.infer is not None and ("/" in name or Path(name).is_dir()):
            return self.infer(name)
        known = self.names()
        ending = among(name, known)
        if self.infer is not None:
            ending += "; an id of the hub (org/model) or a folder with a model will do too"
        raise BadInput(
            [
                Problem(
                    where,
                    f"there is no {self.noun} for {name!r}{ending}"
                    if self.noun == "card"
                    else f"there is no {self.noun} {name!r}{ending}",
                )
            ]
        )

    def changed(self, changes: Mapping[str, Mapping[str, Any]]) -> CardLibrary[Kind]:
        return dataclasses.replace(self, changes=changes)


def library_folders(conf_folders: Sequence[Path], group: str) -> tuple[Path, ...]:
    """The folders of one group of cards below the config folders in use."""
    return tuple(folder / group for folder in conf_folders if (folder / group).is_dir())
