"""Scores of molecules in space, where they are known: stability by hand, distances of moved atoms."""

import numpy as np
import pytest
import torch

import noisefold as nf
from noisefold.eval import score_molecule_geometry, stable_atoms

ATOMS = ("H", "C", "N+", "O", "O-", "C-")
BONDS = ("single", "double", "triple")


def molecule(types, bonds, pos=None):
    """A molecule from names of atoms and (i, j, order)."""
    ends = torch.tensor([(i, j) for i, j, _ in bonds], dtype=torch.int64).reshape(-1, 2)
    kinds = torch.tensor([order - 1 for *_, order in bonds], dtype=torch.int64)
    n = len(types)
    return nf.Graphs(
        torch.zeros(n, 3) if pos is None else torch.as_tensor(pos, dtype=torch.float32),
        edge_index=torch.cat([ends, ends.flip(1)]).T.contiguous(),
        edge_type=kinds.repeat(2),
        node_type=torch.tensor([ATOMS.index(name) for name in types]),
        node_types=ATOMS,
        edge_types=BONDS,
    )


def waters(count, length=0.96, angle=104.5, seed=0):
    """Water molecules, turned at random."""
    half = np.radians(angle / 2)
    pos = length * torch.tensor(
        [[0, 0, 0], [np.sin(half), np.cos(half), 0], [-np.sin(half), np.cos(half), 0]]
    )
    generator = torch.Generator().manual_seed(seed)
    made = []
    for _ in range(count):
        turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
        made.append(molecule(["O", "H", "H"], [(0, 1, 1), (0, 2, 1)], pos @ turn))
    return nf.Graphs.collate(made)


@pytest.mark.parametrize(
    ("types", "bonds", "stable"),
    [
        (["C", "O"], [(0, 1, 2)], [False, True]),  # formaldehyde without its hydrogens
        (["C-", "O"], [(0, 1, 3)], [True, False]),
        (["H", "H"], [(0, 1, 1)], [True, True]),
        (["N+", "H", "H", "H", "O-"], [(0, 1, 1), (0, 2, 1), (0, 3, 1), (0, 4, 1)], [True] * 5),
        (["O"], [], [False]),
    ],
)
def test_stability_by_hand(types, bonds, stable):
    assert stable_atoms(molecule(types, bonds)).tolist() == stable


def test_stability_of_molecules_is_of_all_their_atoms():
    half = nf.Graphs.collate([waters(2), molecule(["O", "H"], [(0, 1, 1)]), molecule(["O"], [])])
    scores = score_molecule_geometry({"model": half}, waters(3))
    assert scores["model", "atom-stable"].value == pytest.approx(7 / 9)
    assert scores["model", "stable"].value == 0.5


def test_distances_are_those_by_which_atoms_were_moved():
    scores = score_molecule_geometry(
        {"same": waters(6, seed=1), "long": waters(6, length=1.06, seed=2), "wide": waters(6, angle=109.5)},
        waters(8),
    )
    assert scores["same", "lengths"].value == pytest.approx(0, abs=1e-6)
    assert scores["long", "lengths"].value == pytest.approx(0.1, abs=1e-6)
    assert scores["long", "angles"].value == pytest.approx(0, abs=1e-3)
    assert scores["wide", "angles"].value == pytest.approx(5, abs=1e-3)


def test_kinds_that_are_lacking_count_as_they_are_long():
    acids = nf.Graphs.collate([molecule(["C", "O"], [(0, 1, 2)], [[0, 0, 0], [1.2, 0, 0]])] * 2)
    scores = score_molecule_geometry({"model": acids}, waters(4))
    assert scores["model", "lengths"].value == pytest.approx(0.96, abs=1e-6)


def test_without_hydrogens_there_is_no_stability():
    acids = nf.Graphs.collate([molecule(["C", "O"], [(0, 1, 2)], [[0, 0, 0], [1.2, 0, 0]])] * 3)
    bare = acids.replace(node_type=acids.node_type - 1, node_types=ATOMS[1:])
    assert score_molecule_geometry({"model": bare}, bare).columns == ("lengths", "angles")


@pytest.mark.parametrize(
    ("made", "named"),
    [
        ({"metrics": ["length"]}, "length"),
        ({"graphs": waters(3).replace(pos=torch.zeros(9, 0))}, "positions"),
        ({"graphs": waters(3).replace(node_types=("water", *ATOMS[1:]))}, "water"),
    ],
)
def test_what_cannot_be_scored_is_refused(made, named):
    with pytest.raises(ValueError, match=named):
        score_molecule_geometry(
            {"model": made.get("graphs", waters(3))}, waters(3), metrics=made.get("metrics")
        )
