"""Molecules: SMILES, tables of them and .sdf files in and out, and what a graph does not keep."""

import gzip
import sys
import warnings
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from discrete import content, graph

from noisefold.data import DataNotice, describe_columns, load, save
from noisefold.data.convert import convert
from noisefold.data.molecules import BONDS, from_rdkit, to_rdkit, to_smiles
from noisefold.geometry.graphs import Graphs

Chem = pytest.importorskip("rdkit.Chem")
SMILES = ["CCO", "c1ccccc1", "C", "O=[N+]([O-])c1c[nH]cc1Cl", "C#N", "[Ca+2].[Cl-].[Cl-]", "CS(=O)(=O)C"]


def canonical(smiles):
    return [Chem.CanonSmiles(s) for s in smiles]


def made(smiles=SMILES):
    return from_rdkit([Chem.MolFromSmiles(s) for s in smiles])


def quiet(source, **parts):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)
        return load(source, **parts)


def in_space(smiles, flat=False):
    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    place = Chem.Conformer(molecule.GetNumAtoms())
    place.Set3D(not flat)
    places = torch.randn(molecule.GetNumAtoms(), 3, generator=torch.Generator().manual_seed(0))
    for i, (x, y, z) in enumerate(places.tolist()):
        place.SetAtomPosition(i, (x, y, 0.0 if flat else z))
    molecule.AddConformer(place)
    return molecule


def test_atoms_and_bonds():
    graphs = made(["C[N+](=O)[O-]", "C#N"])
    types = [graphs.node_types[k] for k in graphs.node_type.tolist()]
    assert types == ["C", "N+", "O", "O-", "C", "N"]
    bonds = {tuple(e): BONDS[k] for e, k in zip(graphs.edge_index.T.tolist(), graphs.edge_type, strict=True)}
    expected = {(0, 1): "single", (1, 2): "double", (1, 3): "single", (4, 5): "triple"}
    assert bonds == expected | {e[::-1]: kind for e, kind in expected.items()}
    assert graphs.edge_types == BONDS
    assert graphs.dim == 0


def test_there_and_back():
    assert to_smiles(made()) == canonical(SMILES)


def test_aromatic_bonds_become_single_and_double():
    ring = made(["c1ccccc1"])
    assert torch.bincount(ring.edge_type).tolist() == [6, 6]


@pytest.mark.parametrize(
    "broken",
    [
        graph([(0, 1), (0, 2), (0, 3), (0, 4), (0, 5)], 6),  # five bonds of carbon
        graph([(0, 0), (0, 1)], 2),
        graph([(0, 1), (0, 1)], 2, edge_type=[0, 1]),
    ],
)
def test_no_molecules(broken):
    types = {"node_type": torch.zeros(broken.num_nodes, dtype=torch.int64), "node_types": ("C",)}
    named = broken.replace(**types, edge_types=BONDS if broken.edge_type is not None else ())
    assert to_rdkit(named) == [None]
    assert to_smiles(named) == [None]


def test_edges_in_one_direction_and_without_types():
    types = {"node_type": torch.tensor([1, 0, 0]), "node_types": ("C", "O")}
    chain = graph([(0, 1), (2, 1)], 3, directed=True, **types)
    assert to_smiles(chain) == canonical(["CCO"])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"node_types": ("X", "C")}, "'X'"),
        ({"node_types": ("C++", "C")}, r"'C\+\+'"),
        ({"node_types": ()}, "node_types"),
        ({"edge_types": ("single", "aromatic", "triple")}, "'aromatic'"),
        ({"edge_types": ()}, "edge_types"),
    ],
)
def test_names_that_are_no_atoms_or_bonds_are_refused(changes, named):
    with pytest.raises(ValueError, match=named):
        to_rdkit(made(["CO"]).replace(**changes))


def test_molecules_without_atoms_and_with_other_bonds_are_refused():
    for molecule in (Chem.Mol(), Chem.MolFromSmiles("N->[Fe]"), None):
        with pytest.raises(ValueError, match="molecule 1"):
            from_rdkit([Chem.MolFromSmiles("C"), molecule])
    with pytest.raises(ValueError, match="no molecules"):
        from_rdkit([])


def test_molecules_in_a_list():
    graphs = load([Chem.MolFromSmiles(s) for s in ("CCO", "N")])
    assert to_smiles(graphs) == ["CCO", "N"]


# -- SMILES -------------------------------------------------------------------------------------------------


def test_lines_with_names_and_a_header(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text("SMILES\tname\nCCO\tethanol\n\n# comment\nc1ccccc1 benzene ring\nC#N,x\n")
    assert to_smiles(load(path)) == canonical(["CCO", "c1ccccc1", "C#N"])


def test_written_smiles_come_back(tmp_path):
    graphs = made()
    for name in ("a.smi", "a.smi.gz", "a.sdf"):
        assert to_smiles(quiet(save(graphs, tmp_path / name))) == canonical(SMILES)


@pytest.mark.parametrize(
    ("smiles", "what"),
    [
        ("C[C@H](N)O", "stereochemistry"),
        ("C/C=C/C", "stereochemistry"),
        ("[13CH4]", "isotopes"),
        ("[2H]OC", "isotopes"),
        ("C[CH2]", "unpaired electrons"),
        ("[PH5]", "numbers of hydrogens"),
        ("CC.O", "fragments"),
    ],
)
def test_what_is_not_kept_is_said(tmp_path, smiles, what):
    (tmp_path / "a.smi").write_text(f"C\n{smiles}\n")
    with pytest.warns(DataNotice, match=rf"a\.smi.*{what}"):
        graphs = load(tmp_path / "a.smi")
    assert "H" not in graphs.node_types
    assert graphs.num_nodes == 1 + Chem.MolFromSmiles(smiles).GetNumHeavyAtoms()


def test_what_is_kept_is_not_said(tmp_path):
    (tmp_path / "a.smi").write_text("c1cc[nH]c1\nC[N+](C)(C)C\n[NH4+]\n[H]OC\n[OH-]\n[SiH4]\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataNotice)
        assert to_smiles(load(tmp_path / "a.smi"))[3] == "CO"


def test_lines_that_cannot_be_read(tmp_path):
    path = tmp_path / "a.smi"
    path.write_text("CCO\nC(C\nCC\nC(C)(C)(C)(C)C\n")
    with pytest.raises(ValueError, match=r"a\.smi: 2 of 4 .*line 2.*skip=True"):
        load(path)
    with pytest.warns(DataNotice, match=r"2 of 4"):
        assert to_smiles(load(path, skip=True)) == ["CCO", "CC"]
    path.write_text("C(C\n")
    with pytest.raises(ValueError, match="1 of 1"):
        load(path, skip=True)


def test_graphs_that_are_no_molecules_are_not_written(tmp_path):
    bad = graph([(0, i) for i in range(1, 6)], 6, edge_type=[0] * 5, edge_types=BONDS)
    bad = bad.replace(node_type=torch.zeros(6, dtype=torch.int64), node_types=("C",))
    for name in ("a.smi", "a.sdf"):
        with pytest.warns(DataNotice, match="1 of 2"):
            path = save(Graphs.collate([made(["CO"]), bad]), tmp_path / name)
        assert to_smiles(load(path)) == ["CO"]
        with pytest.raises(ValueError, match="none"):
            save(bad, tmp_path / f"b{name}")


# -- tables -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "mark", "header"),
    [
        ("a.csv", ",", "canonical_smiles"),
        ("a.tsv", "\t", "Smiles"),
        ("a.csv", ";", "isomeric SMILES"),
        ("a.csv.gz", ",", '"smiles"'),
    ],
)
def test_tables_with_a_column_of_smiles(tmp_path, name, mark, header):
    lines = [["id", header, "logP", "class"], ["1", "CCO", "0.5", "a"], ["2", '"CC"', "-1", "b"]]
    text = "\n".join(mark.join(line) for line in lines).encode()
    (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    with pytest.warns(DataNotice, match="'id', 'logP'"):
        graphs = load(tmp_path / name)
    assert to_smiles(graphs) == ["CCO", "CC"]
    assert graphs.classes == ("a", "b")
    roles = {c["name"]: c["role"] for c in describe_columns(tmp_path / name)}
    expected = {"id": "property", header.strip('"'): "molecule", "logP": "property", "class": "label"}
    assert roles == expected


def test_one_column_alone(tmp_path):
    (tmp_path / "a.csv").write_text("SMILES\nCCO\nCC\n")
    assert to_smiles(load(tmp_path / "a.csv")) == ["CCO", "CC"]


def test_label_by_name(tmp_path):
    (tmp_path / "a.csv").write_text("SMILES,toxic,y\nCCO,0,0.5\nCC,1,0.25\n")
    assert quiet(tmp_path / "a.csv", label="toxic").label.tolist() == [0, 1]
    for name in ("y", "absent"):
        with pytest.raises(ValueError, match=r"a\.csv"):
            quiet(tmp_path / "a.csv", label=name)
    with pytest.raises(ValueError, match="x names"):
        quiet(tmp_path / "a.csv", x="y")


def test_split_of_a_table(tmp_path):
    path = tmp_path / "a.csv"
    rows = ["CCO,train", "CC,test", "CN,train", "CO,valid", "CC,train", "C,test_scaffolds"]
    path.write_text("\n".join(["smiles,split", *rows]) + "\n")
    graphs = quiet(path)
    some = graphs[[5, 2, 1, 0]]  # any order and choice, and further names of types
    for data, kept in ((graphs, ["CCO", "CN", "CC"]), (some, ["CN", "CCO"])):
        train, held = data.split(0.5)
        assert to_smiles(train) == kept
        assert len(train) + len(held) == len(data)
    convert(path, tmp_path / "a.shards")
    assert to_smiles(load(tmp_path / "a.shards").split(0.5)[0]) == ["CCO", "CN", "CC"]


def test_tables_that_are_damaged(tmp_path):
    for text, named in (("smiles,a\nCC\n", "line 2"), ("smiles\n", "no molecules")):
        (tmp_path / "a.csv").write_text(text)
        with pytest.raises(ValueError, match=named):
            load(tmp_path / "a.csv")


# -- SDF ----------------------------------------------------------------------------------------------------


def test_positions_in_space_are_kept(tmp_path):
    molecules = [in_space(s) for s in ("CCO", "C", "c1ccncc1")]
    path = tmp_path / "a.sdf"
    path.write_text("".join(f"{Chem.MolToMolBlock(m)}$$$$\n" for m in molecules))
    graphs = load(path)
    assert to_smiles(graphs) == canonical(["CCO", "C", "c1ccncc1"])
    heavy = [a.GetIdx() for a in molecules[0].GetAtoms() if a.GetAtomicNum() > 1]
    expected = torch.tensor(molecules[0].GetConformer().GetPositions()[heavy], dtype=torch.float32)
    torch.testing.assert_close(graphs.pos[:3], expected, rtol=0, atol=1e-4)  # digits of the format
    whole = load(path, hydrogens=True)
    assert whole.sizes.tolist() == [m.GetNumAtoms() for m in molecules]
    assert "H" in whole.node_types
    back = load(save(whole, tmp_path / "b.sdf"), hydrogens=True)
    torch.testing.assert_close(back.pos, whole.pos, rtol=0, atol=1e-4)
    assert [c[3:] for c in content(back)] == [c[3:] for c in content(whole)]


def test_drawings_have_no_positions_and_mixtures_are_said(tmp_path):
    flat = in_space("CCO", flat=True)
    path = tmp_path / "a.sdf"
    path.write_text(Chem.MolToMolBlock(flat) + "$$$$\n")
    assert load(path).dim == 0
    path.write_text("".join(f"{Chem.MolToMolBlock(m)}$$$$\n" for m in (flat, in_space("CC"))))
    with pytest.warns(DataNotice, match="1 of 2"):
        assert load(path).dim == 0


def test_classes_and_split_of_items(tmp_path):
    graphs = made(["CC", "CO"]).replace(label=torch.tensor([1, 0]), classes=("a b", "c"))
    path = save(graphs, tmp_path / "a.sdf")
    assert content(load(path)) == content(graphs)
    blocks = [Chem.MolToMolBlock(m) for m in to_rdkit(graphs)]
    path.write_text(f"{blocks[0]}> <split>\n0\n\n$$$$\n{blocks[1]}>  1  <split>\n1\n\n$$$$\n")
    assert to_smiles(quiet(path).split(0.5)[0]) == ["CC"]


def test_damaged_records_are_refused(tmp_path):
    block = Chem.MolToMolBlock(Chem.MolFromSmiles("CCO")) + "$$$$\n"
    path = tmp_path / "a.sdf"
    counted, named = block.replace("  3  2", "  9  2"), block.replace(" C ", " Qq")
    for bad in (counted, named, block[: len(block) // 2], "x\n"):
        path.write_text(block + bad)
        with pytest.raises(ValueError, match=r"a\.sdf.*1 of 2.*molecule 2"):
            load(path)
        assert len(quiet(path, skip=True)) == 1


def test_without_rdkit(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rdkit", None)
    (tmp_path / "a.smi").write_text("CCO\n")
    (tmp_path / "a.csv").write_text("smiles\nCCO\n")
    (tmp_path / "a.sdf").write_text("a\n")
    for name in ("a.smi", "a.csv", "a.sdf"):
        with pytest.raises(ImportError, match=r"noisefold\[chem\]"):
            load(tmp_path / name)
    with pytest.raises(ImportError, match=r"noisefold\[chem\]"):
        to_smiles(graph([], 1, node_type=torch.tensor([0]), node_types=("C",)))
