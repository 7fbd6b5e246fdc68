"""The runtime of a model on this machine: plain torch, or OpenVINO where it is installed and there is no GPU.

Documents are encoded by the fastest, in bfloat16 where the hardware is made for it; queries, and sentences that an
answer is chosen from, by plain torch in float32, as in production: there their batch changes no more than the rounding.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypedDict

from annotated_doc import Doc

from rag_opt.core.digests import canonical_json, digest, file_digest, item_key, versions
from rag_opt.core.errors import ModelRefused
from rag_opt.core.strict import PlainDict
from rag_opt.models.cards import ModelCard
from rag_opt.store.values import Values

Precision = Literal["float32", "bfloat16"]
Library = Literal["torch", "openvino"]
_FREE_SHARE = 2.0  # times its weights that a GPU must have free
_FREE_BYTES = 2**30


class DocumentRuntime(TypedDict):
    """What a study encodes the documents of one model with: recorded when it begins, kept for all its trials."""

    library: Library
    precision: Precision


@dataclass(frozen=True)
class Machine:
    """Settings of where and how models run here; `auto` is decided by what the machine has."""

    device: Annotated[Literal["auto", "cpu", "cuda", "mps"], Doc("Where models run.")] = "auto"
    runtime: Annotated[Literal["auto", "torch", "openvino"], Doc("What runs embedding models on a CPU.")] = "auto"
    document_precision: Annotated[
        Literal["auto", "float32", "bfloat16"], Doc("Precision of documents; queries are always float32.")
    ] = "auto"
    allow_code: Annotated[tuple[str, ...], Doc("Models whose own code may run, as `id@revision`.")] = ()
    kept: Annotated[Mapping[str, DocumentRuntime], Doc("By id of a model: what the study that goes on began with.")] = (
        field(default_factory=dict)
    )


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
    def record(self) -> DocumentRuntime:
        """What a study records of it."""
        return {"library": self.library, "precision": self.precision}

    @property
    def facts(self) -> PlainDict:
        """Facts that determine a vector; part of stored keys."""
        libraries = {"sentence-transformers", "transformers", "torch", "tokenizers", self.library}
        return {"dtype": self.precision, "library": self.library, "versions": versions(*sorted(libraries))}

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch, measured on two cores (docs/history.md): larger is slower."""
        return (2048, 64) if self.device == "cpu" else (65_536, 1024)


def decide(machine: Machine, card: ModelCard, values: Values) -> Runtime:
    """Return the runtime that encodes documents with a model: the one that its study began with, if it goes on.

    Without a GPU, nothing heavy is imported. Raises ModelRefused for a runtime that this machine does not have.
    """
    device = machine.device if machine.device != "auto" else _device(card, values)
    kept = machine.kept.get(card.id)
    if kept is not None:
        return _go_on(machine, kept, device)
    library: Library = "torch"
    if device == "cpu" and machine.runtime != "torch":
        library = "openvino" if machine.runtime == "openvino" or _has_openvino() else "torch"
    if machine.document_precision != "auto":
        return _possible(Runtime(device, library, machine.document_precision), "document_precision=bfloat16")
    pays = (device == "cuda" and _gpu_multiplies_bfloat16()) or (device == "cpu" and _bfloat16_pays())
    return _possible(Runtime(device, library, "bfloat16" if pays else "float32"), f"runtime={library}")


def _go_on(machine: Machine, kept: DocumentRuntime, device: str) -> Runtime:
    """Return the runtime of a study that goes on. Raises ModelRefused where it cannot be had, or another is asked for.

    Vectors of two runtimes differ, and so would trials before and after.
    """
    began = f"the study encodes documents in {kept['precision']} by {kept['library']}"
    for setting, given, known in (
        ("runtime", machine.runtime, kept["library"]),
        ("document_precision", machine.document_precision, kept["precision"]),
    ):
        if given not in ("auto", known):
            raise ModelRefused(f"{began}: {setting}={given} would mix two kinds of vectors")
    on = "cpu" if kept["library"] == "openvino" else device
    if machine.device not in ("auto", on):
        raise ModelRefused(f"{began}, which does not run on device={machine.device}")
    return _possible(Runtime(on, kept["library"], kept["precision"]), began)


def _possible(runtime: Runtime, why: str) -> Runtime:
    """Return the runtime if this machine has it; nothing else may quietly stand in for it."""
    if runtime.library == "openvino" and not _has_openvino():
        raise ModelRefused(f"{why}: openvino is not installed; pip install openvino")
    if runtime.library == "openvino" and runtime.precision == "bfloat16" and not _has_bfloat16():
        lacks = "this processor has no instructions for bfloat16, and OpenVINO would compute in float32"
        raise ModelRefused(f"{why}: {lacks}")
    return runtime


def _has_openvino() -> bool:
    return importlib.util.find_spec("openvino") is not None


def _device(card: ModelCard, values: Values) -> str:
    """Return cuda only where the model fits into its free memory: decided once, then stored, so that keys stay."""
    if importlib.metadata.version("torch").endswith("+cpu"):
        return "cpu"
    import torch

    if torch.cuda.is_available():
        key = item_key("device", [card.id, card.dtype, torch.cuda.get_device_name()])
        return values.fill("models", [key], lambda _: [b"cuda" if _fits(card) else b"cpu"])[0].decode()
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _gpu_multiplies_bfloat16() -> bool:
    import torch

    return bool(torch.cuda.get_device_capability()[0] >= 8)  # Ampere and later


def _fits(card: ModelCard) -> bool:
    import torch

    free, _ = torch.cuda.mem_get_info()
    known = card.memory_gb  # by its card: nothing is downloaded to decide
    needed = weights_bytes(card.folder) if known is None else known * 1e9
    return bool(free > _FREE_SHARE * needed + _FREE_BYTES)


def _bfloat16_pays(processor: str | None = None) -> bool:
    """Return whether a processor, by its facts as Linux lists them, has a unit that multiplies bfloat16 matrices.

    With one, bare products were 7 times as fast as in float32; without any such instruction they took 100 times as
    long. Processors that only add up bfloat16 pairs (avx512_bf16) gain at most 2 times and stay with float32. Nothing
    is timed: what a value depends on must not depend on what else the machine was doing.
    """
    return "amx_bf16" in (_processor_facts() if processor is None else processor).split()


def _has_bfloat16() -> bool:
    """Return whether OpenVINO computes in bfloat16 here when it is asked to; without, it takes float32 quietly."""
    return not {"amx_bf16", "avx512_bf16"}.isdisjoint(_processor_facts().split())


def _processor_facts() -> str:
    facts = Path("/proc/cpuinfo")
    return facts.read_text() if facts.exists() else ""


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
