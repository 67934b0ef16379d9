"""QM9 from plain arrays: atoms, hydrogens and bonds in their places, on three molecules."""

import numpy as np
import pytest

import noisefold as nf
from noisefold.data.molecules import to_smiles
from noisefold.data.notice import DataNotice

# Methanol with a hydrogen that stands between its heavy atoms, carbon monoxide, and water.
Z = np.array([6, 1, 8, 1, 1, 1, 6, 8, 1, 8, 1], dtype=np.uint8)
PLACES = np.array(
    [
        *([0, 0, 0], [-500, 900, 0], [1400, 0, 0], [-500, -900, 0], [-300, 0, 1000], [1800, 900, 0]),
        *([0, 0, 0], [1130, 0, 0]),
        *([-240, 930, 0], [0, 0, 0], [960, 0, 0]),
    ],
    dtype=np.int16,
)


@pytest.fixture
def folder(tmp_path):
    index = np.arange(3, dtype=np.int32)
    np.savez(
        tmp_path / "qm9_geometry.npz",
        index=index,
        atom_offsets=np.array([0, 6, 8, 11], dtype=np.int32),
        z=Z,
        pos_milliangstrom=PLACES,
    )
    np.savez(
        tmp_path / "qm9_graphs.npz",
        index=index,
        split=np.array([0, 2, 0], dtype=np.uint8),
        node_offsets=np.array([0, 2, 4, 5], dtype=np.int32),
        atom=np.array([0, 2, 0, 2, 2], dtype=np.uint8),
        charge=np.array([0, 0, -1, 1, 0], dtype=np.int8),
        num_h=np.array([3, 1, 0, 0, 2], dtype=np.uint8),
        edge_offsets=np.array([0, 1, 2, 2], dtype=np.int32),
        edges=np.array([[0, 1], [0, 1]], dtype=np.uint8),
        bond=np.array([1, 3], dtype=np.uint8),
    )
    return tmp_path


def test_molecules_with_hydrogens_and_positions(folder):
    graphs = nf.data.qm9(folder)
    assert graphs.sizes.tolist() == [6, 2, 3]
    assert to_smiles(graphs) == ["[H]OC([H])([H])[H]", "[C-]#[O+]", "[H]O[H]"]
    assert [graphs.node_types[k] for k in graphs[0].node_type] == ["C", "O", "H", "H", "H", "H"]
    assert graphs[0].pos[1].tolist() == pytest.approx([1.4, 0, 0])
    assert graphs[0].pos[2].tolist() == pytest.approx([-0.5, 0.9, 0])
    assert nf.eval.stable_atoms(graphs).all()
    train, rest = graphs.split(0.5)
    assert (len(train), len(rest)) == (2, 1)


def test_parts_without_hydrogens_or_positions(folder):
    bare = nf.data.qm9(folder, "train", hydrogens=False)
    assert bare.sizes.tolist() == [2, 1]
    assert bare.dim == 3
    flat = nf.data.qm9(folder, "test", positions=False)
    assert (flat.dim, flat.node_types) == (0, ("C-", "O+"))


def test_molecules_with_other_hydrogens_are_left_out(folder):
    with np.load(folder / "qm9_graphs.npz") as file:
        arrays = dict(file)
    arrays["num_h"][1] = 0
    np.savez(folder / "qm9_graphs.npz", **arrays)
    with pytest.warns(DataNotice, match="1 of 3"):
        assert len(nf.data.qm9(folder)) == 2


def test_what_is_not_there_or_does_not_fit_is_refused(folder):
    with pytest.raises(ValueError, match="part"):
        nf.data.qm9(folder, "tset")
    with pytest.raises(FileNotFoundError, match=r"qm9_graphs\.npz"):
        nf.data.qm9(folder / "elsewhere")
    with np.load(folder / "qm9_graphs.npz") as file:
        arrays = dict(file)
    np.savez(folder / "qm9_graphs.npz", **{**arrays, "index": arrays["index"] + 1})
    with pytest.raises(ValueError, match="same molecules"):
        nf.data.qm9(folder)
