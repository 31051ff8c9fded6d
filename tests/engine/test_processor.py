"""What the processor can do is read from what the system says of it."""

import pytest

from megatts3.processor import multiplies_bfloat16, name


@pytest.mark.parametrize(
    ("flags", "multiplies"), [("fpu avx512f avx512_bf16", True), ("fpu amx_bf16", True), ("fpu avx2 avx512f", False)]
)
def test_bfloat16_is_told_by_the_processors_flags(tmp_path, flags, multiplies):
    told = tmp_path / "cpuinfo"
    told.write_text(f"processor\t: 0\nmodel name\t: Some Processor 9\nflags\t\t: {flags}\n", encoding="utf-8")

    assert multiplies_bfloat16(told) is multiplies
    assert name(told) == "Some Processor 9"


def test_a_system_that_does_not_tell_has_a_processor_all_the_same(tmp_path):
    assert not multiplies_bfloat16(tmp_path / "missing")
    assert name(tmp_path / "missing")
