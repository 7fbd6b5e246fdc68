"""The runtime of a model on this machine: plain torch, or OpenVINO where it is installed and there is no GPU.

Documents are encoded by the fastest, in bfloat16 where the hardware is made for it; queries, and sentences that an
answer is chosen from, by plain torch in float32, as in production: their vectors must not depend on their batch.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_doc import Doc

from rag_opt.core.digests import canonical_json, digest, file_digest, item_key, versions
from rag_opt.core.errors import ModelRefused
from rag_opt.core.strict import PlainDict
from rag_opt.store.values import Values

Precision = Literal["float32", "bfloat16"]
Library = Literal["torch", "openvino"]
_FREE_SHARE = 2.0  # times its weights that a GPU must have free
_FREE_BYTES = 2**30


@dataclass(frozen=True)
class Machine:
    """Settings of where and how models run here; `auto` is decided by what the machine has."""

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Doc("Where models run.")] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], Doc("What runs embedding models on a CPU.")] = "auto"
    document_precision: Annotated[
        Literal["auto", "float32", "bfloat16"], Doc("Precision of documents; queries are always float32.")
    ] = "auto"
    allow_code: Annotated[tuple[str, ...], Doc("Models whose own code may run, as `id@revision`.")] = ()


@dataclass(frozen=True)
class ModelFiles:
    """A model as it lies on disk."""

    folder: Annotated[Path, Doc("Folder with its files.")]
    reads_tokens: Annotated[int, Doc("Most tokens of a text that it reads.")]
    pooling: Annotated[str | None, Doc("How tokens become one vector, where its files do not say.")] = None
    dtype: Annotated[str, Doc("Type of its weights in memory.")] = "float32"
    code: Annotated[tuple[str, ...], Doc("Repositories whose code it may run, as `id@revision`.")] = ()


@dataclass(frozen=True)
class Runtime:
    """The device, library and precision that were decided for one model."""

    device: str
    library: Library = "torch"
    precision: Precision = "float32"

    @property
    def exact(self) -> Runtime:
        """Plain torch in float32 on the same device."""
        return Runtime(self.device)

    @property
    def facts(self) -> PlainDict:
        """Facts that determine a vector; part of stored keys."""
        libraries = {"sentence-transformers", "transformers", "torch", "tokenizers", self.library}
        return {"dtype": self.precision, "library": self.library, "versions": versions(*sorted(libraries))}

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch, measured on two cores (docs/history.md): larger is slower."""
        return (2048, 64) if self.device == "cpu" else (65_536, 1024)


def decide(machine: Machine, folder: Path, values: Values) -> Runtime:
    """Return the runtime that encodes documents with the model in `folder`.

    Without a GPU, nothing heavy is imported. Raises ModelRefused for a runtime that is not installed.
    """
    device = machine.device if machine.device != "auto" else _device(folder, values)
    library: Library = "torch"
    if device == "cpu" and machine.runtime != "torch":
        installed = importlib.util.find_spec("openvino") is not None
        if machine.runtime == "openvino" and not installed:
            raise ModelRefused("runtime=openvino: openvino is not installed; pip install openvino")
        library = "openvino" if installed else "torch"
    if machine.document_precision != "auto":
        return Runtime(device, library, machine.document_precision)
    pays = (device == "cuda" and _gpu_multiplies_bfloat16()) or (device == "cpu" and _bfloat16_pays())
    return Runtime(device, library, "bfloat16" if pays else "float32")


def _device(folder: Path, values: Values) -> str:
    """Return cuda only where the model fits into its free memory: decided once, then stored, so that keys stay."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        key = item_key("device", [str(folder), torch.cuda.get_device_name()])
        return values.fill("models", [key], lambda _: [b"cuda" if _fits(folder) else b"cpu"])[0].decode()
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu_multiplies_bfloat16() -> bool:
    import torch

    return bool(torch.cuda.get_device_capability()[0] >= 8)  # Ampere and later


def _fits(folder: Path) -> bool:
    import torch

    free, _ = torch.cuda.mem_get_info()
    return bool(free > _FREE_SHARE * weights_bytes(folder) + _FREE_BYTES)


def _bfloat16_pays(processor: str | None = None) -> bool:
    """Return whether a processor, by its facts as Linux lists them, has a unit that multiplies bfloat16 matrices.

    With one, bare products were 7 times as fast as in float32; without any such instruction they took 100 times as
    long. Processors that only add up bfloat16 pairs (avx512_bf16) gain at most 2 times and stay with float32. Nothing
    is timed: what a value depends on must not depend on what else the machine was doing.
    """
    facts = Path("/proc/cpuinfo")
    if processor is None:
        processor = facts.read_text() if facts.exists() else ""
    return "amx_bf16" in processor.split()


def files_digest(folder: Path, values: Values) -> str:
    """Return the hash of the files that determine the vectors; it is stored by size and time, as weights are large."""
    kept = [p for p in sorted(folder.rglob("*")) if p.suffix in (".json", ".safetensors", ".txt", ".model", ".py")]
    stat = [(p.relative_to(folder).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in kept]
    key = item_key("model files", [str(folder), stat])

    def compute(_: list[int]) -> list[bytes]:
        return [canonical_json([(name, file_digest(folder / name)) for name, _, _ in stat])]

    return digest(values.fill("models", [key], compute)[0].decode())


def weights_bytes(folder: Path) -> int:
    """Return the size of the weights on disk."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
