"""A bundle written whole: its files, its requirements, its deployment, held against what was seen, signed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from rag_opt import __version__
from rag_opt.core.digests import versions
from rag_opt.core.errors import BadBundle, BadInput
from rag_opt.pipeline.builder import PipelineBuilder
from rag_opt.pipeline.spec import PipelineSpec
from rag_opt.production.bundle import Bundle
from rag_opt.production.bundle_layout import SENTENCES
from rag_opt.production.bundle_reading import load_bundle, read_embedders, read_rerankers
from rag_opt.production.bundle_writing import BundleFacts, write_bundle
from rag_opt.production.deployment.files import Deployment, write_deployment
from rag_opt.production.parity import find_differences, select_checked
from rag_opt.production.requirements import write_requirements
from rag_opt.production.signing import sign_bundle
from rag_opt.store.values import Values

_SPARE = 1.5  # times the memory of one question: others come, and the cache fills


class Allowed(NamedTuple):
    """What a bundle's parts may import, and which models' code may run."""

    plugins: Sequence[str] = ()
    code: Sequence[str] = ()


def write_checked(
    out: Path,
    builder: PipelineBuilder,
    spec: PipelineSpec,
    facts: BundleFacts,
    allowed: Allowed,
    *,
    sign: Path | None = None,
    completions: Values | None = None,
) -> str:
    """Write a bundle and what is beside it, check it, sign it, and return in words what it is.

    `completions`: where answers of a language model are found that are not to be asked again. Raises BadBundle where it
    does not answer as its questions were seen, or cannot be served; what was written is the caller's to remove.
    """
    measured: list[int] = []

    def finish(folder: Path) -> None:
        measured.append(write_requirements(folder, plugins=allowed.plugins, allow_code=allowed.code))

    write_bundle(out, builder, spec, facts, finish=finish)
    bundle = load_bundle(out, plugins=allowed.plugins, allow_code=allowed.code, completions=completions)
    asked = select_checked(bundle, every=False)
    different = find_differences(bundle, asked)
    if different:
        listed = "\n  ".join(different[:10])
        raise BadBundle(
            f"the bundle does not return what the search saw ({len(different)} of {len(asked)} questions):\n  {listed}"
        )
    if sign is not None:
        sign_bundle(out, sign)
    beside = _deploy(out, bundle, round(measured[0] * _SPARE))
    return _describe(out, bundle, len(asked), beside)


def _deploy(out: Path, bundle: Bundle, memory_mb: int) -> str:
    """Write the deployment files beside a bundle; return where they are, or why there are none, in words."""
    folder = out.parent / f"{out.name}_deployment"
    models = {model.role: model for model in bundle.manifest.models}
    embedder = models.get("embedder")
    card, client = bundle.pipeline.encoder.card, bundle.pipeline.llm_client
    on_hub = embedder is not None and embedder.path is None and embedder.url is None and embedder.revision is not None
    asked = [client.settings.key_variable] if client is not None else []
    libraries = read_embedders(out, bundle.manifest), read_rerankers(out, bundle.manifest)
    asked += [card.key_variable, *(one.read(name).key_variable for one in libraries for name in one.names())]
    keys = tuple(dict.fromkeys(name for name in asked if name))
    try:
        deployment = Deployment(
            name=out.name,
            wheel=f"rag_opt_search-{__version__}-py3-none-any.whl",
            rag_opt_version=__version__,
            python=".".join(platform.python_version_tuple()[:2]),
            model_id=card.id if on_hub else None,
            model_revision=card.revision if on_hub else None,
            parameters_millions=card.parameters_millions,
            dtype=card.dtype,
            pooling=card.pooling,
            downloads=on_hub and not bundle.manifest.carries_weights,
            chroma_version=versions("chromadb")["chromadb"] or "1.5.9",
            key_variables=keys,
            memory_mb=memory_mb,
        )
        write_deployment(folder, deployment)
    except (BadInput, ValidationError) as error:
        return f"no deployment files: {error}"
    return f"deployment files: {folder}"


def _describe(out: Path, bundle: Bundle, asked: int, beside: str) -> str:
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    vectors = sum(path.stat().st_size for path in (out / SENTENCES).glob("*"))
    shipped = f", of these {vectors / 1e6:.1f} MB vectors of {bundle.manifest.sentence_vectors:,} sentences"
    plugins = f", plugins={bundle.manifest.plugins!r}" if bundle.manifest.plugins else ""
    return (
        f"({size / 1e6:.1f} MB{shipped if vectors else ''}); it returns what the search saw on "
        f"{asked} of {len(bundle.questions)} questions\n  {beside}\n"
        f'  python -m rag_opt.serve {out}\n  import rag_opt; rag_opt.load("{out}"{plugins}).ask("…")'
    )
