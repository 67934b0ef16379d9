"""Damaged .h5ad files, and those that are none."""

import sys

import anndata
import h5py
import numpy as np
import pytest
from made_tissues import N, tissue

from noisefold.data import Tissue, load


def replaced(name, shape):
    def damage(path):
        with h5py.File(path, "r+") as file:
            del file[name]
            anndata.io.write_elem(file, name, np.zeros(shape))

    return damage


def old_obs(path):
    with h5py.File(path, "r+") as file:
        del file["obs"]
        file["obs"] = np.array([(b"a", 1.0)] * N, dtype=[("index", "S1"), ("day", "f4")])


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_tables(path):
    with h5py.File(path, "r+") as file:
        del file["obs"]


def bent(path):
    with h5py.File(path, "r+") as file:
        file["X/indptr"][...] = 10**6


def unordered(path):
    """The last row ends where the first begins, as if nothing were stored."""
    with h5py.File(path, "r+") as file:
        file["X/indptr"][N // 2 :] = 0


def unknown_type(path):
    """Texts are said to be neither sequences nor texts."""
    text = bytes([0x19, 1, 1, 0, 16, 0, 0, 0])  # the head of a type of variable length
    path.write_bytes(path.read_bytes().replace(text, bytes([0x19, 3]) + text[2:]))


def garbled(path):
    """The compressed numbers of the matrix overwritten."""
    tissue().write_h5ad(path, compression="gzip")
    with h5py.File(path) as file:
        chunk = file["X/data"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = b"\xff" * chunk.size
    path.write_bytes(content)


DAMAGED = {
    "text": (lambda path: path.write_text("cell,x,y\n"), "HDF5"),
    "empty": (lambda path: path.write_bytes(b""), "HDF5"),
    "head": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "damaged"),
    "half": (half, "damaged"),
    "no tables": (no_tables, "obs and var"),
    "bent": (bent, "damaged"),
    "unordered": (unordered, "damaged"),
    "unknown type": (unknown_type, "damaged"),
    "garbled": (garbled, "damaged"),
    "rows": (replaced("X", (N + 1, 5)), "x='X'.*40"),
    "columns": (replaced("X", (N, 6)), "x='X'.*6.*5"),
    "flat": (replaced("obsm/spatial", N), "pos='obsm/spatial'"),
    "old": (old_obs, "0.7"),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.filterwarnings("ignore::anndata.OldFormatWarning")
def test_damaged_files(written, name):
    damage, sentence = DAMAGED[name]
    path = written(tissue())
    damage(path)
    with pytest.raises(ValueError, match=sentence) as error:
        load(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        load(tmp_path / "a.h5ad")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Tissue.read(tmp_path / "a.h5ad")


def test_parts_are_of_no_other_file(tmp_path):
    (tmp_path / "a.xyz").write_text("0 0 0\n1 1 1\n")
    with pytest.raises(ValueError, match=r"a\.xyz: group .*'obs/stage'"):
        load(tmp_path / "a.xyz", group="obs/stage")
    with pytest.raises(ValueError, match=r"\bpos\b"):
        load(np.zeros((3, 2)), pos="obsm/spatial", x="X")


def test_without_anndata(written, monkeypatch):
    path = written(tissue())
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"noisefold\[bio\]"):
        load(path)
