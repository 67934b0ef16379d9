"""Objects of other libraries, as `noisefold.load` takes them."""

import networkx as nx
import numpy as np
import pytest
import torch

from noisefold.data import load
from noisefold.data.mesh import Mesh

L_CORNERS = [(2, 0, 0), (2, 1, 0), (1, 1, 0), (1, 2, 0), (0, 2, 0), (0, 0, 0)]


def cloud(n=20, seed=0, **rest):
    data = pytest.importorskip("torch_geometric.data")
    random = torch.Generator().manual_seed(seed)
    return data.Data(pos=torch.rand(n, 3, generator=random), **rest)


def test_data_sets_loaders_and_generators_of_pyg():
    pytest.importorskip("torch_geometric")
    from torch_geometric.data import InMemoryDataset
    from torch_geometric.loader import DataLoader

    items = [cloud(10 + i, i, y=torch.tensor([i % 2])) for i in range(6)]

    class Made(InMemoryDataset):
        def __init__(self):
            super().__init__(None)
            self.data, self.slices = self.collate(items)

    sizes = [10, 11, 12, 13, 14, 15]
    for source in (items, Made(), DataLoader(items, batch_size=4), (one for one in items)):
        graphs = load(source)
        assert graphs.sizes.tolist() == sizes
        assert graphs.classes == ("0", "1")
    assert load(Made()[2:4]).sizes.tolist() == [12, 13]
    assert load([Made()[:2], Made()[4:]]).sizes.tolist() == [10, 11, 14, 15]
    assert load(torch.utils.data.Subset(Made(), [5, 0])).sizes.tolist() == [15, 10]


def test_faces_of_pyg_are_a_surface():
    data = pytest.importorskip("torch_geometric.data")
    item = data.Data(
        pos=torch.tensor([(0.0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0)]),
        face=torch.tensor([[0, 0], [1, 2], [2, 3]]),
    )
    graphs = load([item, item], points=500)
    assert graphs.sizes.tolist() == [500, 500]
    pos = graphs.pos[:500]
    assert torch.equal(pos, graphs.pos[500:])  # a function of the seed and the surface alone
    assert not torch.equal(pos, load(item, points=500, seed=1).pos)
    counts = torch.histogramdd(pos[:, :2], [2, 2], range=[0.0, 1.0, 0.0, 1.0]).hist
    # Chi-square with 3 degrees of freedom: 30.7 is passed once in a million seeds.
    assert ((counts - 125) ** 2 / 125).sum() < 30.7
    item.face = torch.tensor([[0], [1], [4]])
    with pytest.raises(ValueError, match="vertex 4"):
        load(item)


@pytest.mark.parametrize("kind", ["trimesh", "tuple"])
def test_meshes_in_memory(kind):
    faces = np.array([(5, 0, 1), (5, 1, 2), (5, 2, 3), (5, 3, 4)])
    if kind == "trimesh":
        mesh = pytest.importorskip("trimesh").Trimesh(L_CORNERS, faces)
    else:
        mesh = Mesh(np.array(L_CORNERS, dtype=np.float64), faces)
    pos = load(mesh, points=300).pos
    assert pos.shape == (300, 3)
    assert not ((pos[:, 0] > 1) & (pos[:, 1] > 1)).any()


def test_coordinates_of_objects_far_from_zero():
    far = torch.tensor([694386.0, 5155487.0, 381.0], dtype=torch.float64)
    item = cloud()
    item.pos = item.pos.double() + far
    graphs = load(item)
    torch.testing.assert_close(graphs.coordinates, item.pos, rtol=0, atol=1e-6)
    graph = nx.Graph()
    for i, row in enumerate(item.pos.tolist()):
        graph.add_node(i, pos=row)
    torch.testing.assert_close(load(graph).coordinates, item.pos, rtol=0, atol=1e-6)


def test_networkx():
    graphs = load([nx.cycle_graph(4), nx.path_graph(3)])
    assert graphs.sizes.tolist() == [4, 3]
    assert graphs.dim == 0
    assert graphs.edge_index.shape[1] == 12
    placed = nx.Graph()
    placed.add_nodes_from([(0, {"x": 0, "y": 1, "heat": 0.5}), (1, {"x": 2, "y": 3, "heat": 1.5})])
    graphs = load(placed)
    assert graphs.pos.tolist() == [[0, 1], [2, 3]]
    assert graphs.feature_names == ("heat",)
    partly = nx.Graph()
    partly.add_nodes_from([(0, {"heat": 0.5}), (1, {})])
    with pytest.raises(ValueError, match="'heat'"):
        load(partly)


def test_data_frames():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "heat": [0.5, 1.5, 2.5, 3.5],
            "x": [0, 1, 2, 3],
            "y": [4, 5, 6, 7.5],
            "graph": ["a", "a", "b", "b"],
        },
        index=[7, 8, 9, 10],
    )
    graphs = load(frame)
    assert graphs.sizes.tolist() == [2, 2]
    assert graphs.pos.tolist() == [[0, 4], [1, 5], [2, 6], [3, 7.5]]
    assert graphs.feature_names == ("heat",)
    assert graphs.x.tolist() == [[0.5], [1.5], [2.5], [3.5]]
    other = frame[["y", "x", "graph", "heat"]].rename(columns={"heat": "load"}).assign(heat=frame["heat"] + 1)
    joined = load([frame.assign(load=frame["heat"] * 2), other])
    assert joined.feature_names == ("heat", "load")
    assert joined.x[4].tolist() == [1.5, 0.5]
    with pytest.raises(ValueError, match="x"):
        load(frame.drop(columns=["x", "y"]))


def test_types_of_hetero_data():
    data = pytest.importorskip("torch_geometric.data")
    item = data.HeteroData()
    item["atom"].pos, item["site"].pos = torch.rand(3, 2), torch.rand(2, 2)
    item["atom", "at", "site"].edge_index = torch.tensor([[0, 2], [1, 0]])
    graphs = load([item, item])
    assert graphs.node_types == ("atom", "site")
    assert graphs.edge_index.tolist() == [[0, 2, 5, 7], [4, 3, 9, 8]]


def test_what_cannot_be_taken_is_named():
    xarray = pytest.importorskip("xarray")
    with pytest.raises(ValueError, match="latitude"):
        load(xarray.DataArray(np.zeros((3, 2))))
    with pytest.raises(ValueError, match="TensorDataset"):
        load(torch.utils.data.TensorDataset(torch.zeros(3, 2)))
    with pytest.raises(ValueError, match="edge_index"):
        load(cloud(edge_index=torch.tensor([[0], [20]])))


@pytest.mark.parametrize("name", ["data.pt", "data.pth", "data.pkl", "data.pickle"])
def test_pickles_are_refused_by_name(tmp_path, name):
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(ValueError, match="pickle"):
        load(tmp_path / name)


def test_masked_values_are_missing():
    masked = np.ma.masked_greater(np.arange(12.0).reshape(4, 3), 10)
    with pytest.raises(ValueError, match="point 3"):
        load(masked)
    assert load(masked, missing=True).pos.isnan().sum() == 1


@pytest.mark.parametrize("array", [torch.eye(3).to_sparse(), torch.empty(3, 3, device="meta")])
def test_tensors_that_are_no_plain_ones(array):
    with pytest.raises(ValueError, match="positions"):
        load(array)


def test_an_object_whose_methods_fail_is_refused():
    class Mesh:
        vertices = property(lambda self: 1 + "a")
        faces = ()

    with pytest.raises(ValueError, match="Mesh"):
        load(Mesh())
