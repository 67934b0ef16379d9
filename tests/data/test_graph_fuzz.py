"""Damaged files of graphs and molecules: read or refused in one sentence, soon, and in little memory."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from discrete import CASES, TYPED
from fuzz import battery
from test_tu import FILES

from noisefold.data.formats.adjacency import write_edgelist
from noisefold.data.formats.graph6 import write_graph6, write_sparse6
from noisefold.data.formats.graph_files import write_gexf, write_gml, write_graphml

MTX = b"%%MatrixMarket matrix coordinate real symmetric\n% made\n4 4 3\n2 1 0.5\n3 2 1.5\n4 4 1\n"
ARRAY = b"%%MatrixMarket matrix array integer general\n2 2\n0\n1\n1\n0\n"
SMILES = "SMILES name\nCCO a\nc1ccccc1[N+](=O)[O-] b\nC/C=C/[C@H](N)O\n[Ca+2].[Cl-].[Cl-]\n[nH]1cccc1\n"


def samples():
    bare = TYPED.replace(x=None, node_type=None, feature_names=(), node_types=())
    return {
        "a.graphml": write_graphml(TYPED),
        "a.gexf": write_gexf(TYPED),
        "a.gml": write_gml(TYPED),
        "a.edgelist": write_edgelist(bare),
        "b.edgelist": b"# directed graph\n# Nodes: 6 Edges: 3\n0\t1\n1\t2\n4\t5\n",
        "a.adjlist": b"# a\n0 1 2\n1 3\n2\n3 4\n4\n",
        "a.mtx": MTX,
        "b.mtx": ARRAY,
        "a.g6": write_graph6(CASES["several"]) + b"&DI?AO?\n",
        "a.s6": write_sparse6(CASES["multi-edges"]) * 2,
        "DS": {f"DS_{name}.txt": text.encode() for name, text in FILES.items()},
    }


def molecules():
    pytest.importorskip("rdkit")
    from noisefold.data.formats.reader import ASK
    from noisefold.data.formats.sdf import write_sdf
    from noisefold.data.formats.smiles import read_smiles

    some = read_smiles(SMILES.encode(), ASK).graphs
    return {
        "a.smi": SMILES.encode(),
        "a.csv": b"id,smiles,logP,split\n" + b"1,CCO,0.5,train\n2,CN,1,test\n3,c1ccccc1O,2,train\n",
        "a.sdf": write_sdf(some),
    }


def test_mutated_files():
    counts = battery(samples() | molecules(), count=6)
    assert sum(c.total() for c in counts.values()) == 6 * 14
    assert sum(c["refused"] for c in counts.values()) > 14
    assert sum(c["read"] for c in counts.values()) > 7


@pytest.mark.slow
@pytest.mark.parametrize("name", samples())
def test_many_mutated_graphs(name):
    assert battery({name: samples()[name]}, count=2000, seed=1)[name].total() == 2000


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a.smi", "a.csv", "a.sdf"])
def test_many_mutated_molecules(name):
    assert battery({name: molecules()[name]}, count=2000, seed=1)[name].total() == 2000
