"""Models that are conditioned on properties of graphs, from files to samples."""

import itertools

import networkx as nx
import pytest
import torch
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli import app
from noisefold.noise import Streams
from noisefold.sample.frames import properties_asked
from noisefold.train.objective import hide_labels

SMALL = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2, "walks": 2}


def every_graph():
    """All graphs on four nodes, with their number of edges."""
    pairs = list(itertools.combinations(range(4), 2))
    made = []
    for bits in itertools.product((0, 1), repeat=6):
        graph = nx.empty_graph(4)
        graph.add_edges_from(p for p, b in zip(pairs, bits, strict=True) if b)
        made.append(nf.Graphs.from_networkx(graph))
    graphs = nf.Graphs.collate(made)
    return graphs.replace(properties=edges_of(graphs)[:, None], property_names=("edges",))


def edges_of(graphs):
    owner = graphs.batch[graphs.edge_index[0]]
    return torch.bincount(owner, minlength=len(graphs)).float() / 2


@pytest.fixture(scope="module")
def model():
    graphs = every_graph()
    return nf.Model.for_data(graphs, **SMALL).fit(graphs, steps=3, batch=16)


def test_properties_are_taken_along():
    graphs = every_graph()
    assert graphs[[5, 3]].properties.tolist() == [[2.0], [2.0]]
    both = nf.Graphs.collate([graphs[:2], graphs[-1:]])
    assert both.properties[:, 0].tolist() == [0, 1, 6]
    assert both.property_names == ("edges",)
    with pytest.raises(ValueError, match="property_names"):
        nf.Graphs.collate([graphs, graphs.replace(property_names=("other",))])
    with pytest.raises(ValueError, match="properties"):
        graphs.replace(properties=torch.zeros(64))
    train, rest = graphs.split(0.5)
    assert torch.equal(edges_of(rest), rest.properties[:, 0])
    assert len(train) == 32


def test_the_network_sees_standard_units_and_samples_keep_the_users(model):
    unit = model.units.apply(model.training_graphs(every_graph()))
    assert unit.properties.mean().abs() < 1e-6
    assert unit.properties.std(correction=0) == pytest.approx(1, abs=1e-5)
    made = model.sample(5, properties={"edges": [1, 4]}, steps=2)
    assert made.properties[:, 0].tolist() == [1, 4, 1, 4, 1]
    assert made.property_names == ("edges",)
    assert model.sample(3, properties={}, steps=2).properties.isnan().all()


def test_default_properties_are_those_of_the_data(model):
    drawn = model.sample(200, steps=1).properties[:, 0]
    assert set(drawn.tolist()) <= set(range(7))
    assert drawn.mean() == pytest.approx(3, abs=0.5)  # five standard errors
    test = every_graph()[[0, 63]]
    assert model.sample_for(test, steps=1).properties[:, 0].tolist() == [0, 6]


def test_saved_model_is_conditioned_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    back = nf.Model.from_pretrained(tmp_path)
    asked = {"properties": {"edges": 5}, "steps": 3, "guidance": 2.0}
    assert torch.equal(back.sample(4, **asked).edge_index, model.sample(4, **asked).edge_index)


@pytest.mark.slow
def test_samples_have_the_property_that_is_asked_for():
    graphs = every_graph()
    net = {"width": 24, "pair_width": 16, "layers": 2, "heads": 2, "walks": 2}
    model = nf.Model.for_data(graphs, **net).fit(graphs, steps=300, batch=64, warmup=10, lr=5e-3)
    for wanted in (1, 3, 5):
        plain = edges_of(model.sample(64, properties={"edges": wanted}, steps=20))
        assert plain.mean() == pytest.approx(wanted, abs=0.5)
        guided = edges_of(model.sample(64, properties={"edges": wanted}, steps=20, guidance=2.0))
        assert (guided == wanted).float().mean() > 0.6


def test_what_is_not_known_is_refused(model):
    with pytest.raises(ValueError, match="'edgs'"):
        model.sample(1, properties={"edgs": 1})
    with pytest.raises(ValueError, match="finite"):
        properties_asked({"edges": float("inf")}, 1, ("edges",), (), 0)
    plain = every_graph().replace(properties=None, property_names=())
    without = nf.Model.for_data(plain, **SMALL).fit(plain, steps=1, batch=4)
    with pytest.raises(ValueError, match="properties"):
        without.sample(1, properties={"edges": 1})
    other = every_graph().replace(property_names=("other",))
    with pytest.raises(ValueError, match="edges"):
        model.prepared(other)


def test_files_keep_properties(tmp_path):
    graphs = every_graph()
    back = nf.load(nf.data.save(graphs, tmp_path / "a.npz"))
    assert torch.equal(back.properties, graphs.properties)
    assert back.property_names == ("edges",)
    nf.data.write_shards([graphs[:3], graphs[3:]], tmp_path / "folder")
    mapped = nf.load(tmp_path / "folder")
    assert torch.equal(mapped[60:].properties, graphs[60:].properties)
    assert mapped.property_names == ("edges",)


def test_columns_of_molecules_are_properties(tmp_path):
    pytest.importorskip("rdkit")
    table = tmp_path / "a.csv"
    table.write_text("smiles,logP,gap\nCC,1.5,0.3\nCO,,0.2\n")
    graphs = nf.load(table, properties=("gap", "logP"))
    assert graphs.property_names == ("gap", "logP")
    assert graphs.properties[:, 0].tolist() == pytest.approx([0.3, 0.2])
    assert graphs.properties[1, 1].isnan()
    back = nf.load(nf.data.save(graphs, tmp_path / "a.sdf"), properties="logP")
    assert back.properties[0].tolist() == [1.5]
    with pytest.raises(ValueError, match="'mass'"):
        nf.load(table, properties=("mass",))
    table.write_text("smiles,logP\nCC,high\n")
    with pytest.raises(ValueError, match="numbers"):
        nf.load(table, properties=("logP",))


def test_from_a_table_to_samples_on_the_command_line(tmp_path):
    pytest.importorskip("rdkit")
    table, run, out = tmp_path / "a.csv", tmp_path / "run", tmp_path / "made.npz"
    table.write_text(
        "smiles,gap\n" + "".join(f"{s},0.{i}\n" for i, s in enumerate(["CC", "CO", "CCO", "CN"]))
    )
    changes = [x for k, v in SMALL.items() for x in ("-o", f"net.{k}={v}")]
    asked = ["train", str(table), "--properties", "gap", "--out", str(run), "--steps", "2", *changes]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    asked = ["sample", str(run), "-n", "2", "--steps", "2", "--property", "gap=0.25", "--out", str(out)]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    assert nf.load(out).properties[:, 0].tolist() == [0.25, 0.25]
    assert CliRunner().invoke(app, [*asked[:-4], "--property", "gap", "--out", str(out)]).exit_code != 0


def test_training_sees_some_graphs_without_their_properties():
    graphs = every_graph()
    hidden = hide_labels(graphs, Streams(0, range(64)), 0.5).properties[:, 0]
    assert 15 <= int(hidden.isnan().sum()) <= 49  # four standard deviations
    assert torch.equal(hidden[~hidden.isnan()], graphs.properties[~hidden.isnan(), 0])
    assert hide_labels(graphs, Streams(0, range(64)), 0.0) is graphs
