"""How busy a GPU is, from the driver (nvidia-ml-py); None where there is no GPU, no driver or no package."""

import functools
from typing import Any

import torch


def gpu_utilization(device: str) -> float | None:
    """Share of the last moments in which the GPU computed, 0 … 1."""
    if not device.startswith("cuda"):
        return None
    nvml, handle = _handle(device)
    if nvml is None:
        return None
    try:
        return float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu) / 100
    except nvml.NVMLError:  # some cards and containers do not tell
        return None


@functools.cache
def _handle(device: str) -> tuple[Any, Any]:  # Any: the package has no types
    """By the card's UUID: CUDA_VISIBLE_DEVICES renumbers cards for torch, and not for the driver."""
    try:
        import pynvml  # noqa: PLC0415 - only where there is a GPU
    except ImportError:
        return None, None
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid.removeprefix('GPU-')}")
    except pynvml.NVMLError:
        return None, None
