"""MOSES from a folder laid out as the package molsets is."""

import gzip
import sys

import pytest

import noisefold as nf

pytest.importorskip("rdkit")
from noisefold.data.molecules import to_smiles

SMILES = {
    "train": ["CCO", "c1ccccc1", "CC(=O)N", "N#CC", "CS", "FCCl", "CCBr", "C1CC1"],
    "test": ["CCN", "CC=O"],
    "test_scaffolds": ["C1CCC1"],
}


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package that says so if it is imported."""
    package = tmp_path / "moses"
    data = package / "dataset" / "data"
    data.mkdir(parents=True)
    (package / "__init__.py").write_text("raise AssertionError('imported')\n")
    for name, lines in SMILES.items():
        (data / f"{name}.csv.gz").write_bytes(gzip.compress("\n".join(["SMILES", *lines, ""]).encode()))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "moses", raising=False)
    return data


def test_parts_are_read_where_they_lie(installed):
    train = nf.data.moses()
    assert to_smiles(train) == ["CCO", "c1ccccc1", "CC(N)=O", "CC#N", "CS", "FCCl", "CCBr", "C1CC1"]
    assert set(train.node_types) == {"C", "N", "O", "S", "F", "Cl", "Br"}
    assert to_smiles(nf.data.moses("test")) == ["CCN", "CC=O"]
    assert to_smiles(nf.data.moses("scaffolds")) == ["C1CCC1"]
    assert "moses" not in sys.modules


def test_some_are_drawn_by_a_seed(installed):
    whole = to_smiles(nf.data.moses())
    some = to_smiles(nf.data.moses(count=3, seed=1))
    assert len(some) == 3
    assert [s for s in whole if s in some] == some
    assert some == to_smiles(nf.data.moses(count=3, seed=1))
    assert any(to_smiles(nf.data.moses(count=3, seed=k)) != some for k in range(2, 6))
    assert len(nf.data.moses(count=100)) == 8


def test_a_package_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "moses", raising=False)
    with pytest.raises(FileNotFoundError, match="pip install --no-deps molsets"):
        nf.data.moses()


def test_bad_arguments_and_files_are_refused(installed):
    with pytest.raises(ValueError, match="part"):
        nf.data.moses("validation")
    with pytest.raises(ValueError, match="count"):
        nf.data.moses(count=0)
    (installed / "test.csv.gz").write_bytes(gzip.compress(b"SMILES\nCCO\n")[:-6])
    with pytest.raises(ValueError, match=r"test\.csv\.gz"):
        nf.data.moses("test")
    (installed / "test.csv.gz").write_bytes(gzip.compress(b"SMILES\nCCO\nC1CC\n"))
    with pytest.raises(ValueError, match="line 3"):
        nf.data.moses("test")
    (installed / "test.csv.gz").write_bytes(gzip.compress(b"name\nCCO\n"))
    with pytest.raises(ValueError, match="SMILES"):
        nf.data.moses("test")
    (installed / "train.csv.gz").unlink()
    with pytest.raises(FileNotFoundError, match="molsets"):
        nf.data.moses()
