"""Which device and precision this process computes with: decided here, once, and printed at start."""

import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from contract.settings import ModelSettings
from megatts3.processor import multiplies_bfloat16

Precision = Literal["fp32", "fp16", "bf16"]
PRECISIONS_OF_DEVICE: dict[str, tuple[Precision, ...]] = {
    "cpu": ("fp32", "bf16"),
    "mps": ("fp32", "fp16"),
    "cuda": ("fp16", "bf16", "fp32"),
}
SPARE_GPU_BYTES = 64 * 2**20  # for what CUDA takes besides the allocator
MEMINFO = Path("/proc/meminfo")


class DeviceUnavailable(Exception):
    """The configured device is not in this machine, or not usable by this build of torch."""

    def __init__(self, wanted: str, reason: str) -> None:
        super().__init__(f"device {wanted!r} cannot be used: {reason}")
        self.wanted, self.reason = wanted, reason


@dataclass(frozen=True)
class Compute:
    """Where and how precisely the networks run.  The first precision listed for a device is its default."""

    device: str
    precision: Precision

    @property
    def is_gpu(self) -> bool:
        return self.device != "cpu"


def choose_compute(model: ModelSettings) -> Compute:
    """Resolve `auto`.  A precision the device cannot do becomes its default.

    So a configuration made for a GPU starts on any machine; the log says what became of it.
    """
    device = choose_device(model.device)
    allowed = PRECISIONS_OF_DEVICE[device.split(":")[0]]
    wanted = model.precision
    if wanted == "auto":
        wanted = _mixed_precision_of(device) if model.mixed_precision else "fp32"
    precision = next((each for each in allowed if each == wanted), allowed[0])
    return Compute(device, precision)


def _mixed_precision_of(device: str) -> Precision:
    """bfloat16 on a CPU only where its own units multiply it: elsewhere it is emulated, and slower than float32."""
    if device == "cpu":
        return "bf16" if multiplies_bfloat16() else "fp32"
    return PRECISIONS_OF_DEVICE[device.split(":", maxsplit=1)[0]][0]


def choose_device(wanted: str) -> str:
    """`auto` and a missing `cuda:0` both mean the best there is; another named device must be there."""
    if wanted == "auto":
        if torch.cuda.is_available():
            return "cuda:0"
        return "cpu"
    kind, _, index = wanted.partition(":")
    if kind == "cuda" and not torch.cuda.is_available():
        return "cpu"  # a configuration that names cuda:0 must start on any machine; the log says so
    if kind == "cuda" and int(index or 0) >= torch.cuda.device_count():
        raise DeviceUnavailable(wanted, f"{torch.cuda.device_count()} CUDA devices are visible")
    if kind == "mps" and not torch.backends.mps.is_available():
        raise DeviceUnavailable(wanted, "this machine has none")
    return f"cuda:{index or 0}" if kind == "cuda" else wanted


def limit_gpu_memory(compute: Compute, model: ModelSettings) -> None:
    """Hold this process to its share of the GPU; nothing on a CPU."""
    if compute.device.startswith("cuda") and model.gpu_memory_fraction < 1.0:
        torch.cuda.set_per_process_memory_fraction(model.gpu_memory_fraction, compute.device)


def hold_gpu_memory(compute: Compute, model: ModelSettings) -> None:
    """Without `gpu_config.allow_growth`: take the whole share now, so that nobody else can; nothing on a CPU.

    What is taken and let go stays with torch's allocator, which serves all later needs from it.
    """
    if not compute.device.startswith("cuda") or model.gpu_allow_growth:
        return
    free, total = torch.cuda.mem_get_info(compute.device)
    share = int(model.gpu_memory_fraction * total) - torch.cuda.memory_reserved(compute.device)
    wanted = min(share, free) - SPARE_GPU_BYTES
    if wanted > 0:
        torch.empty(wanted, dtype=torch.uint8, device=compute.device)


@dataclass(frozen=True)
class PeakMemory:
    """The most this process has had so far. rss: of the machine's memory, mapped weights it touched included."""

    rss_bytes: int
    device_bytes: int | None  # of a GPU's own memory, in tensors


def peak_memory(device: str) -> PeakMemory:
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    on_gpu = device.startswith("cuda")
    return PeakMemory(1024 * kilobytes, torch.cuda.max_memory_allocated(device) if on_gpu else None)


@dataclass(frozen=True)
class Memory:
    used_bytes: int
    total_bytes: int


def measure_memory(device: str) -> Memory | None:
    """Of the device: a GPU's own memory, else this machine's.  None where the system does not tell."""
    if device.startswith("cuda"):
        free, total = torch.cuda.mem_get_info(device)
        return Memory(total - free, total)
    try:
        lines = MEMINFO.read_text(encoding="ascii").splitlines()
    except OSError:  # not Linux
        return None
    kilobytes = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
    total = 1024 * kilobytes["MemTotal"]
    return Memory(total - 1024 * kilobytes["MemAvailable"], total)
