"""Every reader on mutated files: read or refused in one sentence, soon, and in little memory."""

import gzip
import io
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from fuzz import _one, battery

from noisefold.data.formats import tables
from noisefold.data.formats.arrays import write_npy, write_npz
from noisefold.data.formats.ply import write_ply
from noisefold.geometry.graphs import Graphs


def samples():
    rng = torch.Generator().manual_seed(0)
    pos, x = torch.randn(12, 3, generator=rng), torch.randn(12, 2, generator=rng)
    one = Graphs(pos, x, feature_names=("heat", "load"))
    many = Graphs.collate([one, one]).replace(label=torch.tensor([0, 1]), classes=("ant", "cat"))
    csv = tables.write_csv(many)
    structured = io.BytesIO()
    columns = [("x", "f8"), ("y", "f8"), ("n", "i4")]
    np.save(structured, np.array([(0.5, 1.5, 3), (2.5, 3.5, 4)], dtype=columns))
    atoms = "".join(f"{s} {i} 0.{i} -{i}.5 0.1 0.2 0.3\n" for i, s in enumerate("CHON"))
    return {
        "a.csv": csv,
        "b.csv": b'\xef\xbb\xbfUnnamed: 0;"x [um]";y;kind\r\n0;0,5;1,5;a\r\n1;2,5;3,5;b\r\n2;1,0;1,0;c\r\n',
        "a.csv.gz": gzip.compress(csv, mtime=0),
        "a.tsv": tables.write_tsv(many),
        "a.txt": tables.write_points(one),
        "a.xyz": tables.write_points(one),
        "b.xyz": f"4\nwater\n{atoms}4\n\n{atoms}".encode(),
        "c.xyz": f'4\nLattice="1 0 0" Properties=species:S:1:forces:R:3:pos:R:3\n{atoms}'.encode(),
        "a.pts": tables.write_pts(one),
        "b.pts": b"version: 1\nn_points: 3\n{\n1.5 2.5\n3.5 4.5\n5.5 6.5\n}\n",
        "a.npy": write_npy(one.replace(x=None)),
        "b.npy": structured.getvalue(),
        "a.npz": write_npz(many),
        "a.ply": write_ply(one),
    }


def test_mutated_files():
    """About three hundred files, with those of surfaces, stores and .h5ad; the slow tests read 2,000 each."""
    counts = battery(samples(), count=8)
    assert all(c["refused"] for c in counts.values())


@pytest.mark.slow
@pytest.mark.parametrize("name", samples())
def test_many_mutated_files(name, capsys):
    with capsys.disabled():
        counts = battery({name: samples()[name]}, count=2000, seed=1)
    assert counts[name].total() == 2000


@pytest.mark.parametrize(
    "error", [KeyError("pos"), ValueError("two\nlines."), ValueError("no file."), MemoryError()]
)
def test_what_is_wrong_is_seen(monkeypatch, tmp_path, error):
    """A reader that lets an exception of its parser through does not pass."""

    def broken(path, points):
        raise error

    monkeypatch.setattr("noisefold.data.load", broken)
    assert _one(tmp_path / "a.csv") not in ("read", "refused")


def test_what_is_right_is_seen(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"x,y\n0,1\n2,3\n")
    (tmp_path / "b.csv").write_bytes(b"x,y\n0,1\n2\n")
    assert [_one(tmp_path / name) for name in ("a.csv", "b.csv", "c.csv")] == ["read", "refused", "refused"]
