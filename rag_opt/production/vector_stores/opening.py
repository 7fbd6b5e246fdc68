"""Opening a bundle with the collection that was filled from it."""

from __future__ import annotations

import dataclasses

from rag_opt.core.digests import digest
from rag_opt.core.errors import BadBundle, BadInput, Problem
from rag_opt.production.bundle import Bundle
from rag_opt.production.vector_stores.addresses import CollectionAddress, blaming, name_of, open_store
from rag_opt.production.vector_stores.collection_index import CollectionIndex

_HELD = ("index/dense/", "chunks/", "documents.jsonl")


def name_collection(bundle: Bundle, address: CollectionAddress) -> tuple[CollectionAddress, str]:
    """Return the address with its alias, and the name of the collection that holds what this bundle holds.

    A bundle whose documents, chunks or vectors are others has a collection of another name. Raises BadInput for a
    pipeline without vectors.
    """
    if "dense" not in bundle.pipeline.index_keys:
        what = "the pipeline of this bundle searches words alone: it has no vectors for a vector store"
        raise BadInput([Problem(str(address), what)])
    named = dataclasses.replace(address, name=address.name or name_of(bundle.manifest.study))
    files = {name: file["blake2b"] for name, file in bundle.manifest.files.items() if name.startswith(_HELD)}
    return named, f"{named.name}__{digest(files)[:12]}"


def open_collection(bundle: Bundle, address: CollectionAddress) -> CollectionIndex:
    """Return the collection of a bundle, to be searched instead of its own vectors.

    It need not be the one that its alias stands for now: a service goes on with its own. Raises BadBundle where there
    is none that was filled from this bundle, or where it is not whole.
    """
    named, collection = name_collection(bundle, address)
    store = open_store(named)
    with blaming(named):
        target, there = store.target(named.name), collection in store.names()
        held = len(store.stored(collection)) if there else 0
    count = len(bundle.pipeline.chunks)
    if held != count:
        store.close()
        what = f"{target} was filled from another bundle" if target is not None else "there is no such collection"
        what = f"{collection} holds {held} of {count} chunks" if there else what
        raise BadBundle(f"{named}: {what}; python -m rag_opt.export BUNDLE --push '{named}' fills it")
    return CollectionIndex(store, named, collection, bundle.pipeline.chunks, bundle.pipeline.corpus)
