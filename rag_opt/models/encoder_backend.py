"""The interface of everything that can run an embedding model: this process, or a server."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from rag_opt.core.strict import PlainDict
from rag_opt.models.purposes import Purpose, Vectors

Item = TypeVar("Item")
Result = TypeVar("Result")


class EncoderBackend(Protocol):
    """Runs one embedding model. Threads may share it."""

    @property
    def in_flight(self) -> int:
        """Batches that run at once."""
        ...

    @property
    def cut(self) -> int:
        """Texts so far of which only the beginning was read, because the server takes no more."""
        ...

    @property
    def batch(self) -> tuple[int, int]:
        """Most tokens and most texts of a batch."""
        ...

    @property
    def most_tokens(self) -> int:
        """Most tokens of a text, special tokens included."""
        ...

    @property
    def files_digest(self) -> str:
        """Hash of the model's files, or of what its server says of itself."""
        ...

    def facts(self, purpose: Purpose) -> PlainDict | str:
        """Return what determines a vector beside its exact input; never the card's name."""
        ...

    def prepare(self, purpose: Purpose) -> None:
        """Load what runs the model. Raises ModelRefused for one that is not as its card says."""
        ...

    def embed(self, texts: Sequence[str], purpose: Purpose) -> Vectors:
        """Return [texts, dimensions] of exact inputs, prompts included."""
        ...

    def token_vectors(self, texts: Sequence[str], purpose: Purpose) -> list[Vectors]:
        """Return [tokens, dimensions] of each text, special tokens included. Raises ModelRefused where it cannot."""
        ...

    def map(self, do: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        """Yield `do` of every item, in their order; `in_flight` of them run at once."""
        ...
