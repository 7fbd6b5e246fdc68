"""The outcome of a fault."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Counts over the rounds of a fault.

    `lost`: what was there before and is not found again. `silent`: wrong, and nothing said so. `unclear`: a message
    that does not name what is wrong, or where. `tracebacks` shown to a person. `examples` of all these, in words.
    """

    rounds: int = 0
    lost: int = 0
    silent: int = 0
    unclear: int = 0
    tracebacks: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Return whether nothing is counted but rounds."""
        return not (self.lost or self.silent or self.unclear or self.tracebacks)
