"""The place of LiteLLM's services among addresses; nothing of LiteLLM is imported before one is asked."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

from rag_opt.core.errors import ModelRefused

if TYPE_CHECKING:
    import httpx

ADDRESS = "http://litellm"  # of a service whose address follows from its maker's name
LITELLM_EXTRA = "the extra `litellm` of rag_opt's wheel or checkout has it: pip install '.[litellm]'"


def has_litellm() -> bool:
    """Return whether LiteLLM is installed."""
    return importlib.util.find_spec("litellm") is not None


def open_transport(api_base: str | None) -> httpx.AsyncBaseTransport:
    """Return what answers requests by LiteLLM. Raises ModelRefused where it is not installed."""
    if not has_litellm():
        raise ModelRefused(f"litellm is not installed; {LITELLM_EXTRA}")
    from rag_opt.models.litellm_transport import LiteLLMTransport

    return LiteLLMTransport(api_base=api_base)
