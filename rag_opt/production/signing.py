"""Signatures of bundles: an Ed25519 key signs the manifest, and the manifest holds the hash of every file."""

from __future__ import annotations

import base64
from pathlib import Path

from rag_opt.core.errors import BadBundle
from rag_opt.store.artifacts import MANIFEST

SIGNATURE = "manifest.sig"


def sign_bundle(folder: Path, key: Path) -> None:
    """Sign a bundle with a private key: a PEM file, as `openssl genpkey -algorithm ed25519` writes it.

    Raises BadBundle for a file that is no such key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), password=None)
    except (OSError, ValueError, TypeError) as error:
        raise BadBundle(f"{key} is no private key in PEM without a password: {error}") from None
    if not isinstance(private, Ed25519PrivateKey):
        raise BadBundle(f"{key} is no Ed25519 key (openssl genpkey -algorithm ed25519)")
    (folder / SIGNATURE).write_bytes(base64.b64encode(private.sign((folder / MANIFEST).read_bytes())) + b"\n")


def verify_signature(folder: Path, key: Path) -> None:
    """Check that the manifest of a bundle was signed with the private half of a public key (PEM).

    Raises BadBundle where there is no signature, or it is another's, or the manifest has changed since.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        public = load_pem_public_key(key.read_bytes())
    except (OSError, ValueError) as error:
        raise BadBundle(f"{key} is no public key in PEM: {error}") from None
    if not isinstance(public, Ed25519PublicKey):
        raise BadBundle(f"{key} is no Ed25519 key (openssl pkey -pubout)")
    if not (folder / SIGNATURE).is_file():
        raise BadBundle(f"{folder} is not signed: there is no {SIGNATURE}")
    try:
        signature = base64.b64decode((folder / SIGNATURE).read_bytes().strip(), validate=True)
        public.verify(signature, (folder / MANIFEST).read_bytes())
    except (ValueError, InvalidSignature):
        raise BadBundle(f"{folder}: {SIGNATURE} is not by the key in {key}, or {MANIFEST} has changed since") from None
