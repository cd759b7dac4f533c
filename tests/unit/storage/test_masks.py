import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from inspection.errors import StorageError
from storage.masks import decode_mask, encode_mask
from tests.records import make_png


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_a_mask_comes_back_exactly(mask):
    assert np.array_equal(decode_mask(encode_mask(mask)), mask)


def test_a_mask_costs_about_a_bit_a_pixel_at_most():
    noise = np.random.default_rng(0).random((512, 512)) > 0.5
    assert len(encode_mask(noise)) < 512 * 512 / 8 * 1.02 + 1024


NOISE = encode_mask(np.random.default_rng(0).random((64, 64)) > 0.5)


@pytest.mark.parametrize("damaged", [b"", b"no picture", NOISE[: len(NOISE) // 2], make_png()], ids=range(4))
def test_what_is_no_mask_is_refused(damaged):
    with pytest.raises(StorageError, match="mask"):
        decode_mask(damaged)
