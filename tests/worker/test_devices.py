"""Which device and precision are chosen; on any machine, with or without a GPU."""

import pytest
import torch

from contract.settings import ModelSettings
from worker.devices import DeviceUnavailable, choose_compute, measure_memory

HAS_CUDA = torch.cuda.is_available()


@pytest.mark.skipif(HAS_CUDA, reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_configuration_made_for_a_gpu_starts_on_a_cpu_in_full_precision(device):
    compute = choose_compute(ModelSettings(device=device, precision="fp16"))

    assert (compute.device, compute.precision, compute.is_gpu) == ("cpu", "fp32", False)


def test_a_cpu_that_was_asked_for_is_kept():
    assert choose_compute(ModelSettings(device="cpu", precision="auto")).device == "cpu"
    assert choose_compute(ModelSettings(device="cpu", precision="bf16")).precision == "bf16"


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="this machine has that device")
def test_a_device_that_is_not_there_is_named():
    with pytest.raises(DeviceUnavailable, match="mps"):
        choose_compute(ModelSettings(device="mps"))


@pytest.mark.gpu
def test_a_gpu_computes_in_half_precision_unless_told_otherwise():
    assert choose_compute(ModelSettings()).precision == "fp16"
    assert choose_compute(ModelSettings(mixed_precision=False)).precision == "fp32"
    assert choose_compute(ModelSettings(precision="bf16")).precision == "bf16"


def test_memory_in_use_is_less_than_all_there_is():
    memory = measure_memory("cpu")
    if memory is None:
        pytest.skip("this system does not tell")
    assert 0 < memory.used_bytes < memory.total_bytes
