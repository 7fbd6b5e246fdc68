"""Cards of models: one YAML file each, with everything that matters to choose it and to run it right."""

from __future__ import annotations

import dataclasses
import functools
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass as plain_dataclass
from dataclasses import field
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

import orjson
from annotated_doc import Doc
from annotated_types import Ge, Le
from pydantic import model_validator
from pydantic.dataclasses import dataclass

from rag_opt.core import strict
from rag_opt.core.errors import BadInput, Problem, suggest_names
from rag_opt.core.strict import STRICT, PlainDict, PlainMapping
from rag_opt.core.yaml_files import read_yaml
from rag_opt.text.tokens import find_package_folder

LEFT_OUT = ["*.bin", "*.onnx", "onnx/*", "openvino/*", "*.h5", "*.msgpack", "*.ot", "*.gguf"]  # forms never loaded
_USUAL_TOKENS = 512
_NO_LIMIT = 10_000_000  # transformers writes a far larger number where there is none
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True, kw_only=True, config=STRICT)
class PublishedScore:
    """A score that others measured: a prior, nothing more. Only scores of one benchmark can be compared."""

    benchmark: Annotated[str, Doc("Benchmark with its version, as in `MTEB(eng, v2) retrieval`.")]
    score: Annotated[float, Ge(0), Le(100), Doc("In points, higher is better.")]
    metric: Annotated[str, Doc("What the score is a mean of.")] = "nDCG@10"
    language: Annotated[str, Doc("ISO 639-1 code of its texts, or `multilingual`.")] = "en"
    source: Annotated[str, Doc("Where it was found.")] = ""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModelCard:
    """Settings of every card."""

    id: Annotated[str, Doc("Name of the model on the hub, or of your own.")]
    reads_tokens: Annotated[int, Ge(8), Doc("Most tokens of a text that it reads.")]
    path: Annotated[
        str | None, Doc("Folder of its files, or `package:name/folder` in an installed package; null: from the hub.")
    ] = None
    revision: Annotated[str | None, Doc("Revision on the hub; null: the newest.")] = None
    url: Annotated[str | None, Doc("Address of the server that runs it; null: it runs here.")] = None
    key_variable: Annotated[str | None, Doc("Environment variable that holds the key of the server.")] = None
    served_as: Annotated[str | None, Doc("Name of the model on the server; null: id.")] = None
    tokenizer: Annotated[
        str | None, Doc("Path or id on the hub of its tokenizer, `qwen` or `wordpiece`; null: the model's own.")
    ] = None
    dtype: Annotated[
        Literal["float32", "bfloat16", "float16"],
        Doc("Type of its weights in memory; but for float32, queries are encoded one by one."),
    ] = "float32"
    fp16: Annotated[bool, Doc("Whether its values stay in the range of float16; false: float32 or bfloat16 alone.")] = (
        True
    )
    parameters_millions: Annotated[
        Annotated[float, Ge(0)] | None, Doc("Number of its parameters in millions; null: not known.")
    ] = None
    table_millions: Annotated[
        Annotated[float, Ge(0)] | None,
        Doc("Of these, in the table of tokens: memory, but no computing. null: not known."),
    ] = None
    languages: Annotated[list[str], Doc("ISO 639-1 codes of its languages, or `multilingual`; empty: not known.")] = (
        field(default_factory=list)
    )
    licence: Annotated[str, Doc("Licence of its weights.")] = ""
    commercial_use: Annotated[bool, Doc("Whether the licence allows commercial use.")] = True
    custom_code: Annotated[bool, Doc("Whether it runs only with code of its own.")] = False
    published: Annotated[list[PublishedScore], Doc("Scores that others measured.")] = field(default_factory=list)
    source: Annotated[str, Doc("Where the facts of the card come from.")] = ""
    note: Annotated[str, Doc("Remark for whoever chooses it.")] = ""
    verified: Annotated[bool, Doc("Whether somebody read the card; false: inferred from the model's files.")] = True

    @model_validator(mode="after")
    def _refuse_float16_out_of_range(self) -> Self:
        if self.dtype == "float16" and not self.fp16:
            raise ValueError(f"{self.id} leaves the range of float16; dtype: bfloat16 or float32")
        return self

    @property
    def where(self) -> str:
        """Name of the model in messages."""
        return f"model {self.id}"

    @property
    def served(self) -> bool:
        """True where a server runs it."""
        return self.url is not None

    @property
    def computing_millions(self) -> float | None:
        """Number of the parameters that a token is multiplied with, in millions; None where it is not known."""
        return None if self.parameters_millions is None else self.parameters_millions - (self.table_millions or 0.0)

    @property
    def memory_gb(self) -> float | None:
        """Size of its weights; None where the card does not say how many parameters it has."""
        if self.parameters_millions is None:
            return None
        return self.parameters_millions * _BYTES[self.dtype] / 1000

    def published_score(self, benchmark: str) -> float | None:
        """Return its score on a benchmark; None where nobody published one that is known here."""
        return next((one.score for one in self.published if one.benchmark == benchmark), None)

    def speaks(self, language: str) -> bool:
        """Return whether it was made for a language; a card that names none is given the benefit of the doubt."""
        return not self.languages or not language or language in self.languages or "multilingual" in self.languages

    @property
    def folder(self) -> Path:
        """Folder of the model's files, downloaded where need be. Raises BadInput where they are not to be had."""
        if self.path is None:
            return _from_hub(self, self.id)
        folder = _local(self.path, self.where)
        if not any((folder / name).is_file() for name in ("config.json", "modules.json")):
            problem = f"there is no model in {folder} (neither config.json nor modules.json)"
            raise BadInput([Problem(self.where, problem)])
        return folder

    @property
    def tokenizer_file(self) -> Path:
        """Path of the `tokenizer.json` that its texts are counted with. Raises BadInput where there is none."""
        if self.tokenizer is not None and (self.tokenizer.startswith("package:") or Path(self.tokenizer).is_dir()):
            return _local(self.tokenizer, self.where) / "tokenizer.json"
        if self.tokenizer is None and (self.path is not None or not self.served):
            return self.folder / "tokenizer.json"
        try:
            return _from_hub(self, self.tokenizer or self.id, only="tokenizer.json") / "tokenizer.json"
        except BadInput as error:
            hint = "; its tokenizer counts the tokens of chunks: `tokenizer` in its card may name a folder with one"
            raise BadInput([Problem(problem.where, problem.what + hint) for problem in error.problems]) from None

    def file(self, name: str) -> Path:
        """Return the path of one of the model's files; from the hub it comes without the others."""
        return self.folder / name if self.path is not None else _from_hub(self, self.id, only=name) / name

    @property
    def download_bytes(self) -> int | None:
        """Size of what must come from the hub before the model runs; 0 where it is here, None where nobody can say.

        As the hub says it, or else by the number of its parameters.
        """
        from huggingface_hub import HfApi, snapshot_download

        if self.path is not None or self.served:
            return 0
        try:
            snapshot_download(self.id, revision=self.revision, ignore_patterns=LEFT_OUT, local_files_only=True)
            return 0
        except (OSError, ValueError):  # it is not here, or `id` is none that the hub could know
            pass
        try:
            files = HfApi().model_info(self.id, revision=self.revision, files_metadata=True, timeout=10).siblings or []
            loaded = [file for file in files if not any(fnmatch(file.rfilename, pattern) for pattern in LEFT_OUT)]
            return sum(file.size or 0 for file in loaded)
        except Exception:  # good to know, but nothing depends on it
            return None if self.parameters_millions is None else round(self.parameters_millions * 4_000_000)


def rename_former_settings(data: PlainMapping) -> PlainDict:
    """Return the settings of a card as they are called today: `scores` by benchmark and `prior_quality` were others."""
    settings = {name: value for name, value in data.items() if name not in ("scores", "prior_quality")}
    former = data.get("scores")
    if former and "published" not in settings:
        settings["published"] = [{"benchmark": str(name), "score": score} for name, score in former.items()]
    return settings


def _local(path: str, where: str) -> Path:
    try:
        return find_package_folder(path.removeprefix("package:")) if path.startswith("package:") else Path(path)
    except FileNotFoundError as error:
        raise BadInput([Problem(where, str(error))]) from None


def _from_hub(card: ModelCard, name: str, *, only: str | None = None) -> Path:
    """Return the folder of a model in the local cache, downloaded where it is not there.

    HF_HOME, HF_TOKEN, HF_ENDPOINT and proxies are huggingface_hub's own business. `only`: the one file to fetch.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    revision = card.revision if name == card.id else None
    files: PlainDict = {"ignore_patterns": LEFT_OUT} if only is None else {"allow_patterns": [only]}
    try:
        return Path(snapshot_download(name, revision=revision, **files))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        problem = f"{name} is neither in the local cache nor could it be downloaded: {error}"
        raise BadInput([Problem(card.where, problem)]) from None


def read_json(path: Path, default: Any = None) -> Any:
    """Return the contents of a JSON file; `default`, or an empty object, where there is none. Raises BadInput."""
    try:
        return orjson.loads(path.read_bytes()) if path.is_file() else ({} if default is None else default)
    except orjson.JSONDecodeError as error:
        raise BadInput([Problem(str(path), f"is no JSON: {error}")]) from None


def identify(name: str) -> tuple[PlainDict, Path]:
    """Return the settings that identify a model without a card, `id` and for a folder `path`; and the folder.

    `name`: a folder, or an id of the hub. Raises BadInput where its files are not to be had.
    """
    identity: PlainDict = {"id": Path(name).resolve().name, "path": name} if Path(name).is_dir() else {"id": name}
    return identity, ModelCard(reads_tokens=8, **identity).folder  # any length: only its place is asked for


def find_reads_tokens(folder: Path) -> int:
    """Return how many tokens a model reads, by its files.

    As sentence-transformers or its tokenizer limits it, else by its positions (RoBERTa's begin after the padding id).
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


def common_benchmark(cards: Iterable[ModelCard], language: str) -> str:
    """Return the benchmark by which most of the models can be compared, by its name; empty where there is none.

    `language` of the documents (ISO 639-1, or empty): a benchmark of another one is taken only where none fits.
    """
    fitting, others = Counter[str](), Counter[str]()
    for card in cards:
        for one in card.published:
            fits = not language or one.language in (language, "multilingual")
            (fitting if fits else others)[one.benchmark] += 1
    counted = (fitting or others).most_common()
    return max((name for name, count in counted if count == counted[0][1]), default="")


Kind = TypeVar("Kind")


@plain_dataclass(frozen=True)
class CardLibrary(Generic[Kind]):
    """Cards of one kind in some folders; a later folder's card replaces one of the same name.

    A name that is an id of the hub (`org/model`) or a folder needs no card: `infer` makes one of its files.
    `changes`: settings by card name that a person changed for this run. `where`: the setting that names a card, for
    messages; `noun`: what they call a card.
    """

    kind: type[Kind]
    where: str
    folders: tuple[Path, ...]
    infer: Callable[[str], Kind] | None = None
    changes: Mapping[str, PlainMapping] = field(default_factory=dict)
    noun: str = "card"

    @functools.cached_property
    def _cards(self) -> dict[str, Kind]:
        return {}

    def names(self) -> list[str]:
        """Return the names of all cards, sorted."""
        return sorted({path.stem for folder in self.folders for path in folder.glob("*.yaml")})

    def read(self, name: str, *, where: str = "") -> Kind:
        """Return the card of a name. Raises BadInput for one that is not there, or wrong; `where` names the setting."""
        if name not in self._cards:
            card = self._find(name, where or self.where)
            changes = self.changes.get(name)
            if changes:
                changed = {**strict.dump(card), **changes}
                if any("prompt" in setting or setting == "task" for setting in changes) and "golden" in changed:
                    changed["golden"] = changes.get("golden", {})  # those of the card are of its own prompts
                card = strict.load(self.kind, changed, path=f"{self.where.split('.')[0]}.cards.{name}")
            self._cards[name] = card
        return self._cards[name]

    def _find(self, name: str, where: str) -> Kind:
        for folder in reversed(self.folders):
            path = folder / f"{name.replace('/', '--')}.yaml"
            if path.is_file():
                return strict.load(self.kind, rename_former_settings(read_yaml(path)), path=str(path))
        if self.infer is not None and name.startswith(("/", "./", "../", "~")) and not Path(name).is_dir():
            raise BadInput([Problem(where, f"there is no folder {name!r}")])
        if self.infer is not None and ("/" in name or Path(name).is_dir()):
            return self.infer(name)
        known = self.names()
        ending = suggest_names(name, known)
        if self.infer is not None:
            ending += "; an id of the hub (org/model) or a folder with a model will do too"
        relation = " for" if self.noun == "card" else ""
        raise BadInput([Problem(where, f"there is no {self.noun}{relation} {name!r}{ending}")])

    def with_changes(self, changes: Mapping[str, PlainMapping]) -> CardLibrary[Kind]:
        """Return the library with settings, by card name, that replace those of the cards."""
        return dataclasses.replace(self, changes=changes)


def library_folders(conf_folders: Sequence[Path], group: str) -> tuple[Path, ...]:
    """Return the folders of one group of cards below the config folders in use."""
    return tuple(folder / group for folder in conf_folders if (folder / group).is_dir())
