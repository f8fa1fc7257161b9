"""Hashes tell arrays from each other, however they lie in memory."""

import hashlib
import zlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from heedful.data.hashes import checksums, hash_array

SMALL = arrays.arrays(np.uint8, (3, 4))


@given(SMALL, st.integers(0, 2), st.integers(0, 3), st.integers(1, 255))
def test_any_other_element_gives_another_hash(array, row, column, change):
    other = array.copy()
    other[row, column] ^= np.uint8(change)
    assert hash_array(other) != hash_array(array) == hash_array(array.copy())
    assert checksums(other) != checksums(array) == checksums(array.copy())


@given(SMALL)
def test_what_counts_are_the_elements_row_by_row(array):
    content = bytes(array.ravel().tolist())
    for same in (array, np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]):
        assert hash_array(same) == hashlib.sha256(content).hexdigest()[:16]
        assert checksums(same) == [zlib.crc32(content)]


def test_each_array_has_its_checksum():
    first, second = np.arange(3), np.zeros(2)
    assert checksums(first, second) == [*checksums(first), *checksums(second)]
    assert checksums() == []
