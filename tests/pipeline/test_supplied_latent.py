"""A stranger's `.npy`: what is accepted, and that nothing in it is trusted."""

import contextlib
import io
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from megatts3.errors import LatentInvalid
from megatts3.pipeline.supplied_latent import parse_latent, require_length


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def latent(frames=50, seed=0):
    return np.random.default_rng(seed).standard_normal((1, frames, 32)).astype(np.float32)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("batched", [True, False])
@pytest.mark.parametrize("order", ["C", "F"])
def test_every_allowed_form_is_read(dtype, batched, order):
    source = np.asarray(latent() if batched else latent()[0], dtype=dtype, order=order)
    found = parse_latent(npy(source))

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, latent()[0], rtol=2e-3, atol=1e-3)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 50, 32), np.float32),
        np.zeros((50, 31), np.float32),
        np.zeros((32,), np.float32),
        np.zeros((1, 1, 50, 32), np.float32),
        np.zeros((0, 32), np.float32),
        np.zeros((50, 32), np.int64),
        np.zeros((50, 32), np.complex64),
        np.full((50, 32), np.nan, np.float32),
        np.full((50, 32), np.inf, np.float32),
        np.full((50, 32), 1e9, np.float32),
        np.zeros((9_000, 32), np.float32),
    ],
    ids=[
        "batch of 2",
        "31 channels",
        "flat",
        "4 axes",
        "empty",
        "integers",
        "complex",
        "nan",
        "inf",
        "huge",
        "1.1 MB",
    ],
)
def test_a_wrong_array_is_refused(array):
    with pytest.raises(LatentInvalid):
        parse_latent(npy(array))


class Bomb:
    exploded = False

    def __reduce__(self):
        return (setattr, (Bomb, "exploded", True))


def test_nothing_is_ever_unpickled():
    for data in [npy(np.array([Bomb()], dtype=object), allow_pickle=True), pickle.dumps(Bomb())]:
        with pytest.raises(LatentInvalid):
            parse_latent(data)
    assert not Bomb.exploded


def test_a_header_that_promises_terabytes_is_refused_before_memory_is_taken():
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (40000000000, 32), }"
    with pytest.raises(LatentInvalid):
        parse_latent(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(64))


@pytest.mark.parametrize("data", [b"", b"\x93NUMPY", b"PK\x03\x04", b"hello", b"\x93NUMPY\x09\x00\x10\x00"])
def test_bytes_that_are_no_npy_are_refused(data):
    with pytest.raises(LatentInvalid):
        parse_latent(data)


@given(st.data())
def test_a_damaged_file_is_read_or_refused_by_name(data):
    broken = bytearray(npy(latent(4)))
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, 200))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.integers(0, len(broken)))
    with contextlib.suppress(LatentInvalid):
        assert np.isfinite(parse_latent(bytes(broken[:kept]))).all()


@pytest.mark.parametrize(("samples", "frames"), [(192_001, 212), (155_178, 174)])
def test_the_release_s_own_prompts_have_the_length_that_is_asked_for(samples, frames):
    """SPEC 1.1."""
    for given_frames in range(frames - 2, frames + 3):
        require_length(latent(given_frames)[0], samples / 24_000)
    for given_frames in (frames - 3, frames + 3):
        with pytest.raises(LatentInvalid):
            require_length(latent(given_frames)[0], samples / 24_000)
