"""Molecules in space as a domain, from files to samples and scores."""

import pytest
import torch
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli import app
from noisefold.domains import Molecules3D, domain_of
from noisefold.noise import JointPath, Types

pytest.importorskip("rdkit")
SMALL = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2, "radial": 4}


def molecules(count=24):
    """Waters and carbon dioxides, a little different from each other."""
    generator = torch.Generator().manual_seed(0)
    made = []
    for i in range(count):
        water = i % 2 == 0
        pos = (
            [[0.0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0]]
            if water
            else [[0.0, 0, 0], [1.16, 0, 0], [-1.16, 0, 0]]
        )
        ends = torch.tensor([[0, 1, 0, 2], [1, 0, 2, 0]])
        made.append(
            nf.Graphs(
                torch.tensor(pos) + 0.02 * torch.randn(3, 3, generator=generator) + 5,
                edge_index=ends,
                edge_type=torch.full((4,), 0 if water else 1),
                edge_types=("single", "double", "triple"),
                node_type=torch.tensor([2, 0, 0] if water else [1, 2, 2]),
                node_types=("H", "C", "O"),
            )
        )
    return nf.Graphs.collate(made)


@pytest.fixture(scope="module")
def model():
    data = molecules()
    return nf.Model.for_data(data, **SMALL).fit(data, steps=12, batch=8)


def test_molecules_with_positions_are_of_the_domain(model):
    data = molecules()
    assert isinstance(domain_of(data), Molecules3D)
    assert isinstance(model.path, JointPath)
    assert not isinstance(domain_of(data, Types()), Molecules3D)  # the graphs alone, if these are asked for
    assert not isinstance(domain_of(data.replace(node_types=("a", "b", "c"))), Molecules3D)
    assert not isinstance(domain_of(data.replace(pos=data.pos[:, :0])), Molecules3D)


def test_samples_are_centred_molecules(model):
    made = model.sample(6, steps=4)
    assert made.dim == 3
    assert made.node_types == ("H", "C", "O")
    assert made.edge_types == ("single", "double", "triple")
    means = made.pos.view(6, 3, 3).mean(1)
    assert means.abs().max() < 1e-5
    assert Types().read(made).pairs.max() <= 3  # refuses self-loops and multi-edges


def test_a_sample_depends_on_its_seed_and_number_alone(model):
    together, apart = model.sample(5, steps=4, seed=3), model.sample(5, steps=4, seed=3, batch=1)
    assert torch.equal(together.edge_index, apart.edge_index)
    assert torch.equal(together.node_type, apart.node_type)
    assert together.pos.allclose(apart.pos, atol=1e-5)
    assert not model.sample(5, steps=4, seed=4).pos.allclose(together.pos)


def test_saved_model_draws_the_same(model, tmp_path):
    model.save_pretrained(tmp_path)
    back = nf.Model.from_pretrained(tmp_path)
    assert (back.path, back.variable, back.target) == (model.path, model.variable, model.target)
    assert torch.equal(back.sample(3, steps=3).pos, model.sample(3, steps=3).pos)


def test_constraint_keeps_valences(model):
    made = model.sample(8, steps=3, constraint="valence")
    bonds = torch.zeros(made.num_nodes).index_add(0, made.edge_index[0], made.edge_type + 1.0)
    assert (bonds <= torch.tensor([1.0, 4.0, 2.0])[made.node_type]).all()


def test_scores_beside_reference_rows(model):
    data = molecules()
    scores = model.evaluate(
        data[:12], train=data[12:], steps=3, metrics=["stable", "lengths", "angles", "valid"]
    )
    assert scores.rows == ("model", "independent", "train", "shuffled")
    assert scores["train", "stable"].value == 1
    assert scores["train", "lengths"].value < 0.05 < scores["shuffled", "lengths"].value
    assert scores["train", "angles"].value < scores["shuffled", "angles"].value
    assert "valid" not in scores["shuffled"]
    with pytest.raises(ValueError, match="lenghts"):
        model.evaluate(data, metrics=["lenghts"])


def test_single_atoms_are_molecules_too():
    one = nf.Graphs(
        torch.zeros(4, 3), ptr=torch.arange(5), edge_index=torch.zeros(2, 0, dtype=torch.int64),
        node_type=torch.tensor([0, 1, 0, 0]), node_types=("C", "O"),
    )  # fmt: skip
    made = nf.Model.for_data(one, **SMALL).fit(one, steps=2, batch=2).sample(3, steps=3)
    assert made.sizes.tolist() == [1, 1, 1]
    assert not made.pos.any()


def test_what_does_not_fit_is_refused(model):
    data = molecules()
    with pytest.raises(ValueError, match="for_completion"):
        nf.Model.for_data(data, for_completion=True)
    with pytest.raises(ValueError, match="no positions"):
        nf.Model.for_data(data.replace(pos=data.pos[:, :0]), variable="pos+types")
    with pytest.raises(ValueError, match="no edges"):
        nf.Model.for_data(nf.Graphs(torch.rand(8, 3)), variable="pos+types")
    with pytest.raises(ValueError, match="direction"):
        nf.Model.for_data(data.replace(edge_index=data.edge_index[:, 1:], edge_type=data.edge_type[1:]))
    with pytest.raises(ValueError, match="node type 'Xe'"):
        model.prepared(data.replace(node_types=("H", "C", "Xe")))
    with pytest.raises(ValueError, match="complete"):
        model.complete(data[:1], torch.ones(3, dtype=torch.bool), draws=1)


def test_files_keep_positions(tmp_path):
    data = molecules(4)
    back = nf.load(nf.data.save(data, tmp_path / "a.sdf"), hydrogens=True)
    assert back.coordinates.allclose(data.coordinates, atol=1e-4)
    assert [back.node_types[k] for k in back.node_type] == [data.node_types[k] for k in data.node_type]
    atoms = nf.load(nf.data.save(data, tmp_path / "a.xyz"))
    assert atoms.coordinates.allclose(data.coordinates, atol=1e-4)
    assert atoms.x[:3, 0].tolist() == [8, 1, 1]
    square = nf.Graphs(torch.rand(4, 3), edge_index=torch.tensor([[0, 1], [1, 0]]))
    with pytest.raises(ValueError, match="edge_index"):
        nf.data.save(square, tmp_path / "b.xyz")


def test_from_a_file_to_samples_on_the_command_line(tmp_path):
    nf.data.save(molecules(8), tmp_path / "a.sdf")
    run, out = tmp_path / "run", tmp_path / "made.sdf"
    changes = [x for k, v in SMALL.items() for x in ("-o", f"net.{k}={v}")]
    asked = ["train", str(tmp_path / "a.sdf"), "--hydrogens", "--out", str(run), "--steps", "3", *changes]
    done = CliRunner().invoke(app, asked)
    assert done.exit_code == 0, done.output
    asked = ["sample", str(run), "-n", "4", "--steps", "3", "--constraint", "valence", "--out", str(out)]
    assert CliRunner().invoke(app, asked).exit_code == 0
    assert nf.load(out, hydrogens=True).dim == 3
