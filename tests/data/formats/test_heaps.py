"""Heaps of texts in HDF5 files: a damaged one is refused before the library would run for ever."""

import pytest
from made_tissues import tissue

from noisefold.data import load
from noisefold.data.formats.heaps import check_heaps

START = b"GCOL\x01\x00\x00\x00"


def damaged(content, place, size):
    """The first object of a collection becomes a free one of this size."""
    return content[: place + 16] + bytes(8) + size.to_bytes(8, "little") + content[place + 32 :]


@pytest.mark.parametrize("size", [0, 8, 2**40])
def test_a_free_object_of_no_size(written, size):
    path = written(tissue())
    check_heaps(path)
    content = path.read_bytes()
    path.write_bytes(damaged(content, content.index(START), size))
    with pytest.raises(ValueError, match="texts"):
        load(path)


def test_a_collection_beyond_the_end(written):
    path = written(tissue())
    content = path.read_bytes()
    path.write_bytes(content[: content.rindex(START) + 12])
    with pytest.raises(ValueError, match="texts"):
        check_heaps(path)
