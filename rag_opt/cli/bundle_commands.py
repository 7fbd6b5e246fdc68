"""What `export` does with a bundle: build it over other documents; register, promote and roll back in MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from rag_opt.core.errors import BadBundle


def update(
    source: Path,
    documents: Path,
    out: Path,
    *,
    sign: Path | None = None,
    plugins: Sequence[str] = (),
    code: Sequence[str] = (),
) -> str:
    """Build a bundle anew over other documents, and return in words what came of it. Leaves nothing half-written."""
    from rag_opt.production.bundle_reading import load_bundle
    from rag_opt.production.bundle_writing import refuse_occupied
    from rag_opt.production.exporting import Allowed, write_checked
    from rag_opt.production.updating import prepare_update, scratch_beside
    from rag_opt.setup.builtins import load_built_in

    out = out.resolve()
    refuse_occupied(out)
    load_built_in(["objectives", *plugins])
    folder = source.resolve()
    old = load_bundle(folder, plugins=plugins, allow_code=code)
    with (
        scratch_beside(out) as scratch,
        prepare_update(folder, old, documents, scratch=scratch, allow_code=code) as new,
    ):
        try:
            # what a language model answered a moment ago is not asked again
            stored, allowed = new.builder.store.values, Allowed(plugins, code)
            said = write_checked(out, new.builder, new.spec, new.facts, allowed, sign=sign, completions=stored)
        except BaseException:
            shutil.rmtree(out, ignore_errors=True)
            raise
        return "\n  ".join([f"{source} over {documents} -> {out} {said}", *new.said])


def push(
    source: Path, address: str, *, every: bool, drop_older: bool, plugins: Sequence[str], allow_code: Sequence[str]
) -> str:
    """Fill a collection of a vector store with a bundle's chunks, and return in words what came of it."""
    from rich.progress import Progress

    from rag_opt.production.vector_stores.pushing import push_bundle

    with Progress(transient=True) as shown:
        bar = shown.add_task("chunks written")
        pushed = push_bundle(
            source,
            address,
            every=every,
            drop_older=drop_older,
            plugins=plugins,
            allow_code=allow_code,
            progress=lambda done, count: shown.update(bar, completed=done, total=count),
        )
    return pushed.describe(source)


def register(source: Path, name: str, *, uri: str, wheel: Path | None, plugins: Sequence[str] = ()) -> str:
    """Register a bundle in MLflow as the challenger of a name, and return what was done in words."""
    from rag_opt.tracking.registry import register_bundle

    if not (source / "manifest.json").exists():
        raise BadBundle(f"{source} is not a bundle: export the study first (--out bundle/), then register the bundle")
    version = register_bundle(source.resolve(), name=name, uri=uri, wheel=wheel, plugins=plugins)
    served = (
        "" if wheel is not None else "; --wheel names rag_opt's wheel, without which MLflow's servers cannot load it"
    )
    return f"{source} is version {version} of {name}, and its challenger{served}"


def promote_challenger(name: str, *, uri: str, margin: float, force: bool) -> str:
    """Make the challenger of a name the champion, if it is not worse, and return what was done in words."""
    from rag_opt.tracking.registry import promote

    return promote(name, uri=uri, margin=margin, force=force).describe()


def roll_back(name: str, *, uri: str) -> str:
    """Make the previous champion of a name the champion again, and return what was done in words."""
    from rag_opt.tracking.registry import rollback

    return rollback(name, uri=uri).describe()
