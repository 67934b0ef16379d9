"""Types of HDF5 that the library cannot read are seen before it tries."""

import h5py
import numpy as np
import pytest

from noisefold.data.formats.datatypes import check_types

NUMBERS = h5py.vlen_dtype(np.int32)
KINDS = {
    "sequence": NUMBERS,
    "array": np.dtype((NUMBERS, (2,))),
    "compound": np.dtype([("number", "i4"), ("numbers", NUMBERS)]),
    "compound of arrays": np.dtype([("number", "i4"), ("numbers", NUMBERS, (2,))]),
}
HEAD = bytes([0x19, 0, 0, 0, 16, 0, 0, 0])  # of a sequence of any length


@pytest.mark.parametrize("attribute", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_unknown_types_are_refused(tmp_path, kind, attribute):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        if attribute:
            held = h5py.h5t.py_create(np.dtype(KINDS[kind]), logical=True)
            h5py.h5a.create(file.create_group("a").id, b"b", held, h5py.h5s.create_simple((3,)))
        else:
            file.create_dataset("a", shape=(3,), dtype=KINDS[kind])
        file["a"].attrs["text"] = "a"
        file["a"].attrs["nothing"] = h5py.Empty("f4")
        check_types(file["a"])
    content = path.read_bytes()
    assert HEAD in content
    path.write_bytes(content.replace(HEAD, bytes([0x19, 3]) + HEAD[2:]))
    with h5py.File(path) as file, pytest.raises(ValueError, match="/a"):
        check_types(file["a"])
