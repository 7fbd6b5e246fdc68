"""What runs an embedding model on this machine: plain torch, or OpenVINO where it is installed and there is no GPU.

Documents are encoded by the fastest, in bfloat16 where the hardware is made for it; queries, and sentences that an
answer is chosen from, by plain torch in float32, as in production: their vectors must not depend on their batch.
"""

from __future__ import annotations

import functools
import gc
import importlib.metadata
import importlib.util
import os
import platform
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from rag_opt.core.digests import canonical, digest, file_digest, item_key, versions
from rag_opt.core.errors import ModelRefused
from rag_opt.models.remote_code import refuse_unsafe
from rag_opt.store.values import Values

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Precision = Literal["float32", "bfloat16"]
Library = Literal["torch", "openvino"]
_PAYS_FROM = 1.5  # times faster that bare bfloat16 products must be; seen: 7 with the instructions, 0.01 without
_FREE_SHARE = 2.0  # times its weights that a GPU must have free
_FREE_BYTES = 2**30
_SAME_COSINE = 0.999
_PROBES = (
    "A probe.",
    "Another library must give the same vectors, for texts of any length. " * 12,
)

T = TypeVar("T")
Item = TypeVar("Item")


@dataclass(frozen=True)
class Machine:
    """What a person may set about where models run; `auto` is decided by what is there. `allow_code`: models whose
    custom code may run, as `id@revision`.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    runtime: Literal["auto", "torch", "openvino"] = "auto"
    document_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    allow_code: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelFiles:
    """A model as it lies on disk. `pooling`: what its vectors are made by, where its files do not say; `dtype`: of its
    weights in memory; `code`: repositories whose code it may run, with their revisions.
    """

    folder: Path
    reads_tokens: int
    pooling: str | None = None
    dtype: str = "float32"
    code: tuple[str, ...] = ()


@dataclass(frozen=True)
class Runtime:
    """What was decided for one model."""

    device: str
    library: Library = "torch"
    precision: Precision = "float32"

    @property
    def exact(self) -> Runtime:
        """The same device with plain torch in float32."""
        return Runtime(self.device)

    @property
    def facts(self) -> dict[str, Any]:
        """What of it determines a vector."""
        libraries = {"sentence-transformers", "transformers", "torch", "tokenizers", self.library}
        return {"dtype": self.precision, "library": self.library, "versions": versions(*sorted(libraries))}

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch. Measured on two cores (docs/benchmarks.md): larger is slower."""
        return (2048, 64) if self.device == "cpu" else (65_536, 1024)


def decide(machine: Machine, folder: Path, values: Values) -> Runtime:
    """What encodes documents with the model in `folder`. Without a GPU, nothing heavy is imported."""
    device = machine.device if machine.device != "auto" else _device(folder, values)
    library: Library = "torch"
    if device == "cpu" and machine.runtime != "torch":
        found = importlib.util.find_spec("openvino") is not None
        if machine.runtime == "openvino" and not found:
            raise ModelRefused("runtime=openvino: openvino is not installed; pip install 'rag-opt[openvino]'")
        library = "openvino" if found else "torch"
    if machine.document_precision != "auto":
        return Runtime(device, library, machine.document_precision)
    pays = (device == "cuda" and _gpu_multiplies_bfloat16()) or (device == "cpu" and _bfloat16_pays(values))
    return Runtime(device, library, "bfloat16" if pays else "float32")


def _device(folder: Path, values: Values) -> str:
    """A GPU only where the model fits into what is free of it: looked at once, then remembered, so that keys stay."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        key = item_key("device", [str(folder), torch.cuda.get_device_name()])
        return values.fill("models", [key], lambda _: [b"cuda" if _fits(folder) else b"cpu"])[0].decode()
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu_multiplies_bfloat16() -> bool:
    import torch

    return torch.cuda.get_device_capability()[0] >= 8  # Ampere and later


def _fits(folder: Path) -> bool:
    import torch

    free, _ = torch.cuda.mem_get_info()
    return bool(free > _FREE_SHARE * weights_bytes(folder) + _FREE_BYTES)


def _bfloat16_pays(values: Values) -> bool:
    """Whether this processor multiplies bfloat16 much faster: tried once, then remembered, so that keys stay."""
    key = item_key("bfloat16 pays", [_processor(), versions("torch")])
    return values.fill("models", [key], lambda _: [b"yes" if _product_speedup() > _PAYS_FROM else b"no"])[0] == b"yes"


def _product_speedup() -> float:
    import torch

    def seconds(dtype: torch.dtype) -> float:
        a, b = torch.ones(512, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
        times = []
        for _ in range(7):
            started = time.perf_counter()
            a @ b
            times.append(time.perf_counter() - started)
        return min(times)

    return seconds(torch.float32) / seconds(torch.bfloat16)


def _processor() -> str:
    facts = Path("/proc/cpuinfo")
    lines = facts.read_text().splitlines() if facts.exists() else []
    kept = [line for line in lines if line.startswith(("model name", "flags", "Features"))]
    return "\n".join(dict.fromkeys(kept)) or platform.processor()


def files_digest(folder: Path, values: Values) -> str:
    """Hash of all that determines the vectors, remembered by size and time: weights are large."""
    kept = [p for p in sorted(folder.rglob("*")) if p.suffix in (".json", ".safetensors", ".txt", ".model", ".py")]
    stat = [(p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in kept]
    key = item_key("model files", [str(folder), stat])

    def compute(_: list[int]) -> list[bytes]:
        return [canonical([(name, file_digest(folder / name)) for name, _, _ in stat])]

    return digest(values.fill("models", [key], compute)[0].decode())


def weights_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))


_LOADED: OrderedDict[tuple[Any, ...], tuple[Any, int]] = OrderedDict()


def loaded(files: ModelFiles, runtime: Runtime) -> SentenceTransformer:
    """One model in memory per process and runtime, whoever asks for it; those used longest ago make room."""
    return held((files, runtime), runtime.device, weights_bytes(files.folder), lambda: _load(files, runtime))


def held(key: tuple[Any, ...], device: str, weighs: int, load: Callable[[], T]) -> T:
    """What `load` gives for `key`, loaded once. `weighs`: bytes that it takes on the device."""
    if key not in _LOADED:
        while beside := [other for other in _LOADED if _device_of(other) == device]:
            if sum(_LOADED[other][1] for other in beside) + weighs <= _most_bytes(device):
                break
            del _LOADED[beside[0]]
            gc.collect()  # a model may hold itself, and its memory is wanted now
        _LOADED[key] = load(), weighs
    _LOADED.move_to_end(key)
    found: T = _LOADED[key][0]
    return found


def _device_of(key: tuple[Any, ...]) -> str:
    return str(key[1].device)


@functools.cache
def _most_bytes(device: str) -> int:
    """A quarter of a device's memory for models; one larger than that is still loaded, alone."""
    if device == "cuda":
        import torch

        return int(torch.cuda.get_device_properties(0).total_memory) // 4
    names = getattr(os, "sysconf_names", {})
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4 if "SC_PHYS_PAGES" in names else 2**32


def _load(files: ModelFiles, runtime: Runtime) -> SentenceTransformer:
    kwargs = as_loaded(files)
    import transformers
    from sentence_transformers import SentenceTransformer

    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call, unused-ignore]
    if files.pooling and not (files.folder / "modules.json").exists():
        model = SentenceTransformer(modules=_modules(files, kwargs), device=runtime.device)
    else:
        model = SentenceTransformer(str(files.folder), device=runtime.device, **kwargs)
    model.eval()
    first: Any = model[0]
    if not hasattr(first, "auto_model"):  # static vectors: nothing to multiply, no longest text
        return model
    model.max_seq_length = files.reads_tokens
    if hasattr(first.auto_model.config, "use_cache"):
        first.auto_model.config.use_cache = False  # nothing is generated
    if runtime.library == "openvino" and files.dtype == "float32" and _compiled(model, runtime.precision):
        return model
    if runtime.precision == "bfloat16":
        first.bfloat16()
    if runtime.precision == "bfloat16" or files.dtype != "float32":
        # pooling and norm in fp32
        first.register_forward_hook(lambda _, __, out: {**out, "token_embeddings": out["token_embeddings"].float()})
    return model


def as_loaded(files: ModelFiles) -> dict[str, Any]:
    """What a model is loaded with: its weights in the card's dtype, whatever they were saved in; allowed code."""
    code = refuse_unsafe(files.folder, files.code)
    return {**code, "model_kwargs": {**code.get("model_kwargs", {}), "dtype": files.dtype}}


def _modules(files: ModelFiles, kwargs: dict[str, Any]) -> list[Any]:
    """For a model that is a bare transformer: the pooling that its card names."""
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    modes = {"last": "lasttoken"}
    transformer = Transformer(str(files.folder), **kwargs)
    return [transformer, Pooling(transformer.get_embedding_dimension(), modes.get(files.pooling or "", files.pooling))]


def _compiled(model: SentenceTransformer, precision: Precision) -> bool:
    """Have OpenVINO run the transformer of `model`; False, and `model` as it was, where the vectors do not agree."""
    import warnings

    import numpy as np

    from rag_opt.models.openvino_model import OpenVinoModel

    first: Any = model[0]
    plain = first.model
    expected = model.encode(list(_PROBES), normalize_embeddings=True, show_progress_bar=False)
    try:
        example = first.preprocess(list(_PROBES))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of tracing: that the trace holds for other inputs is tried below
            first.model = OpenVinoModel(plain, example, precision)
        got = model.encode(list(_PROBES), normalize_embeddings=True, show_progress_bar=False)
        agrees = bool((np.sum(expected * got, axis=1) > _SAME_COSINE).all())
    except Exception:  # whatever an export stumbles over: plain torch runs every model
        agrees = False
    if not agrees:
        first.model = plain
    return agrees


def halving(run: Callable[[Sequence[Item]], Sequence[T]], texts: Sequence[Item]) -> list[T]:
    """`run(texts)`, in halves while memory does not suffice."""
    try:
        return list(run(texts))
    except Exception as error:
        if len(texts) == 1 or not _out_of_memory(error):
            raise
    middle = len(texts) // 2
    return halving(run, texts[:middle]) + halving(run, texts[middle:])


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(
        words in str(error) for words in ("can't allocate memory", "out of memory")
    )
