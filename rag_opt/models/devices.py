"""The device that models run on, in words."""

from __future__ import annotations

import os


def describe_device(wanted: str) -> tuple[bool, str]:
    """Return whether the wanted device (`auto`, `cpu`, `cuda`, `mps`) is there, and what is there, in words."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        return True, f"{torch.cuda.get_device_name()}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free"
    if wanted == "cuda":
        return False, "cuda was asked for, but torch sees no CUDA device; use device=auto or device=cpu"
    threads, free_gb = torch.get_num_threads(), _free_memory_bytes() / 1e9
    return True, f"CPU, {os.cpu_count()} cores, {threads} threads, {free_gb:.1f} GB memory free"


def _free_memory_bytes() -> float:
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("nan")
