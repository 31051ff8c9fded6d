"""Which device and precision are chosen; on any machine, with or without a GPU."""

import pytest
import torch

from contract.settings import ModelSettings
from worker.devices import (
    Compute,
    DeviceUnavailable,
    choose_compute,
    hold_gpu_memory,
    limit_gpu_memory,
    measure_memory,
    peak_memory,
)

HAS_CUDA = torch.cuda.is_available()


@pytest.mark.skipif(HAS_CUDA, reason="this machine has a GPU")
@pytest.mark.parametrize("device", ["auto", "cuda", "cuda:0"])
def test_a_configuration_made_for_a_gpu_starts_on_a_cpu_in_full_precision(device):
    compute = choose_compute(ModelSettings(device=device, precision="fp16"))

    assert (compute.device, compute.precision, compute.is_gpu) == ("cpu", "fp32", False)


def test_a_cpu_that_was_asked_for_is_kept():
    assert choose_compute(ModelSettings(device="cpu", precision="auto")).device == "cpu"
    assert choose_compute(ModelSettings(device="cpu", precision="bf16")).precision == "bf16"


@pytest.mark.parametrize("multiplies", [True, False])
def test_a_cpu_computes_in_bfloat16_only_where_it_multiplies_that_itself(monkeypatch, multiplies):
    monkeypatch.setattr("worker.devices.multiplies_bfloat16", lambda: multiplies)

    assert choose_compute(ModelSettings(device="cpu")).precision == ("bf16" if multiplies else "fp32")
    assert choose_compute(ModelSettings(device="cpu", mixed_precision=False)).precision == "fp32"
    assert choose_compute(ModelSettings(device="cpu", precision="fp32")).precision == "fp32"


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


def test_the_most_a_process_has_had_never_shrinks():
    before = peak_memory("cpu")
    ballast = torch.ones(64 * 2**20, dtype=torch.uint8)
    after = peak_memory("cpu")
    del ballast

    assert before.rss_bytes <= after.rss_bytes == pytest.approx(peak_memory("cpu").rss_bytes, rel=0.01)
    assert after.rss_bytes > 64 * 2**20
    assert after.device_bytes is None


class Card:
    """CUDA's calls as far as they are used here, with 8 GB of which 6 are free."""

    def __init__(self, monkeypatch):
        self.fraction, self.taken = None, []
        monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", self.set_fraction)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (6_000_000_000, 8_000_000_000))
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
        monkeypatch.setattr(torch, "empty", lambda size, **_: self.taken.append(size))

    def set_fraction(self, fraction, device):
        self.fraction = fraction


@pytest.mark.parametrize(("fraction", "expected"), [(0.5, 4_000_000_000), (0.9, 6_000_000_000)])
def test_a_share_that_may_not_grow_is_taken_at_once(monkeypatch, fraction, expected):
    card = Card(monkeypatch)
    model, compute = ModelSettings(gpu_memory_fraction=fraction, gpu_allow_growth=False), Compute("cuda:0", "fp16")
    limit_gpu_memory(compute, model)
    hold_gpu_memory(compute, model)

    assert card.fraction == fraction
    assert card.taken == [expected - 64 * 2**20]


@pytest.mark.parametrize(
    ("device", "model"),
    [("cuda:0", ModelSettings()), ("cpu", ModelSettings(gpu_allow_growth=False, gpu_memory_fraction=0.5))],
)
def test_nothing_is_taken_where_memory_may_grow_or_is_no_gpus(monkeypatch, device, model):
    card = Card(monkeypatch)
    limit_gpu_memory(Compute(device, "fp32"), model)
    hold_gpu_memory(Compute(device, "fp32"), model)

    assert card.taken == []
    assert card.fraction is None


@pytest.mark.gpu
def test_what_is_held_on_a_gpu_is_held_within_its_share():
    model = ModelSettings(gpu_memory_fraction=0.25, gpu_allow_growth=False)
    compute = choose_compute(model)
    limit_gpu_memory(compute, model)
    hold_gpu_memory(compute, model)

    total = torch.cuda.mem_get_info(compute.device)[1]
    assert 0.2 * total < torch.cuda.memory_reserved(compute.device) <= 0.25 * total
