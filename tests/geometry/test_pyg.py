"""Objects of PyTorch Geometric: as many graphs as there are, with what each of them holds."""

import numpy as np
import pytest
import torch

from noisefold.data import load
from noisefold.data.notice import DataNotice
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pyg import from_pyg, is_pyg

pytest.importorskip("torch_geometric")

from torch_geometric.data import Batch, Data, Dataset, HeteroData, InMemoryDataset, TemporalData
from torch_geometric.loader import DataLoader

RING = torch.tensor([[0, 1, 2, 3], [1, 2, 3, 0]])


def items(count=6, y=True):
    random = torch.Generator().manual_seed(0)
    made = [
        Data(
            pos=torch.rand(4 + i, 3, generator=random),
            x=torch.rand(4 + i, 2, generator=random),
            edge_index=RING,
            edge_attr=torch.rand(4, 5, generator=random),
        )
        for i in range(count)
    ]
    for i, item in enumerate(made):
        item.y = torch.tensor([i % 3]) if y else None
    return made


class InMemory(InMemoryDataset):
    def __init__(self, count=6, transform=None):
        super().__init__(None, transform)
        self.data, self.slices = self.collate(items(count))


class OnDisk(Dataset):
    def len(self):
        return 6

    def get(self, idx):
        return items()[idx]


def same(a, b):
    names = ("pos", "x", "ptr", "edge_index", "edge_attr", "label", "node_type", "edge_type")
    return all(
        (getattr(a, n) is None and getattr(b, n) is None) or torch.equal(getattr(a, n), getattr(b, n))
        for n in names
    )


SOURCES = {
    "list": items,
    "tuple": lambda: tuple(items()),
    "generator": lambda: (one for one in items()),
    "batch": lambda: Batch.from_data_list(items()),
    "data set in memory": InMemory,
    "data set on disk": OnDisk,
    "loader": lambda: DataLoader(items(), batch_size=4),
    "loader of a data set": lambda: DataLoader(InMemory(), batch_size=5),
    "subset": lambda: torch.utils.data.Subset(InMemory(), range(6)),
    "two data sets": lambda: torch.utils.data.ConcatDataset([InMemory(2), InMemory(6)[2:]]),
}


@pytest.mark.parametrize("name", SOURCES)
def test_as_many_graphs_as_there_are(name):
    graphs = Graphs.from_pyg(SOURCES[name]())
    assert graphs.sizes.tolist() == [4, 5, 6, 7, 8, 9]
    assert graphs.label.tolist() == [0, 1, 2, 0, 1, 2]
    if name != "two data sets":
        assert same(graphs, Graphs.from_pyg(items()))


def test_slices_and_shuffles():
    assert Graphs.from_pyg(InMemory()[2:5]).sizes.tolist() == [6, 7, 8]
    assert Graphs.from_pyg(InMemory()[[4, 0]]).sizes.tolist() == [8, 4]


def test_data_set_with_a_transform():
    graphs = Graphs.from_pyg(InMemory(transform=lambda item: Data(pos=2 * item.pos)))
    assert torch.equal(graphs.pos, 2 * Graphs.from_pyg(items()).pos)
    assert graphs.x is None


def test_batch_that_lost_its_slices():
    whole = Batch.from_data_list(items())
    lost = Batch(**{k: whole[k] for k in ("pos", "x", "edge_index", "edge_attr", "y", "batch")})
    plain = Data(pos=whole.pos, x=whole.x, edge_index=whole.edge_index, batch=whole.batch)
    plain.edge_attr, plain.y = whole.edge_attr, whole.y
    for source in (lost, plain):
        assert same(Graphs.from_pyg(source), Graphs.from_pyg(items()))
    with pytest.raises(ValueError, match="`batch`"):
        Graphs.from_pyg(Data(pos=torch.zeros(4, 2), batch=torch.tensor([0, 1, 0, 1])))
    with pytest.raises(ValueError, match="two graphs"):
        Graphs.from_pyg(Data(pos=torch.zeros(4, 2), batch=torch.tensor([0, 0, 1, 1]), edge_index=RING))


@pytest.mark.parametrize(
    ("y", "label"),
    [
        (torch.tensor([2]), 2),
        (torch.tensor(2), 2),
        (torch.tensor([[2]]), 2),
        (torch.tensor([True]), 1),
        (2, 2),
        (torch.tensor([0.5]), None),
        (torch.tensor([2.0]), None),
        (torch.tensor([0, 1, 1]), None),
        (torch.tensor([[0, 1]]), None),
        (None, None),
        ("cup", 0),
    ],
)
def test_what_of_y_is_a_class(y, label):
    graphs = Graphs.from_pyg(Data(pos=torch.zeros(3, 2), y=y))
    assert (None if graphs.label is None else graphs.label.tolist()) == (None if label is None else [label])


@pytest.mark.parametrize("edges", [[[0, 3], [1, 0]], [[0, -1], [1, 0]], [[0.0], [1.0]]])
def test_edges_beyond_the_nodes_are_refused(edges):
    with pytest.raises(ValueError, match="edge_index"):
        Graphs.from_pyg(Data(pos=torch.zeros(3, 2), edge_index=torch.tensor(edges)))


def test_graphs_refuse_edges_beyond_the_nodes():
    for edges in ([[0], [3]], [[-1], [0]]):
        with pytest.raises(ValueError, match="edge_index"):
            Graphs(torch.zeros(3, 2), edge_index=torch.tensor(edges))


def test_types_and_columns():
    item = Data(
        pos=torch.zeros(3, 2, dtype=torch.int64),
        x=torch.arange(3),
        edge_index=torch.tensor([[0, 1], [1, 2]], dtype=torch.int32),
        edge_attr=torch.tensor([4, 5]),
        node_type=torch.tensor([1, 0, 1]),
        edge_type=torch.tensor([0, 2]),
    )
    graphs = Graphs.from_pyg(item)
    assert graphs.pos.is_floating_point()
    assert graphs.x.tolist() == [[0], [1], [2]]
    assert graphs.edge_attr.tolist() == [[4], [5]]
    assert graphs.edge_index.dtype == torch.int64
    assert graphs.node_type.tolist() == [1, 0, 1]
    assert graphs.edge_type.tolist() == [0, 2]


def test_graph_without_positions_has_0_dimensions():
    graphs = Graphs.from_pyg(Data(x=torch.zeros(4, 2), edge_index=RING))
    assert list(graphs.pos.shape) == [4, 0]
    with pytest.raises(ValueError, match="neither `pos`"):
        Graphs.from_pyg(Data(x=torch.zeros(4, 2)))


def test_faces_are_a_surface():
    item = Data(pos=torch.eye(3), face=torch.tensor([[0], [1], [2]]), y=torch.tensor([1]))
    with pytest.raises(ValueError, match="`face`"):
        Graphs.from_pyg(item)
    graphs = from_pyg([item, item], lambda pos, face: pos[face[:, 0]].mean(0, keepdim=True).expand(7, 3))
    assert graphs.sizes.tolist() == [7, 7]
    assert torch.allclose(graphs.pos, torch.tensor(1 / 3))
    assert graphs.label.tolist() == [1, 1]
    item.x = torch.zeros(3, 2)
    with pytest.raises(ValueError, match="both `face` and `x`"):
        from_pyg(item, lambda pos, face: pos)


def hetero():
    item = HeteroData()
    item["atom"].pos, item["atom"].x = torch.rand(3, 2), torch.rand(3, 4)
    item["site"].pos, item["site"].x = torch.rand(2, 2), torch.rand(2, 4)
    item["atom", "at", "site"].edge_index = torch.tensor([[0, 2], [1, 0]])
    item["site", "near", "site"].edge_index = torch.tensor([[0], [1]])
    return item


def test_types_of_hetero_data():
    item = hetero()
    for source in (item, Batch.from_data_list([item])):
        graphs = Graphs.from_pyg(source)
        assert graphs.node_types == ("atom", "site")
        assert graphs.node_type.tolist() == [0, 0, 0, 1, 1]
        assert torch.equal(graphs.pos, torch.cat([item["atom"].pos, item["site"].pos]))
        assert graphs.edge_types == ("atom/at/site", "site/near/site")
        assert graphs.edge_index.tolist() == [[0, 2, 3], [4, 3, 4]]
        assert graphs.edge_type.tolist() == [0, 0, 1]


def test_hetero_data_that_is_no_one_graph_is_refused():
    item = hetero()
    item["site"].x = torch.rand(2, 5)
    with pytest.raises(ValueError, match="`x`"):
        Graphs.from_pyg(item)
    item = hetero()
    del item["site"].pos
    with pytest.raises(ValueError, match="`pos`"):
        Graphs.from_pyg(item)
    item = hetero()
    item["atom", "at", "site"].edge_index = torch.tensor([[0, 2], [1, 2]])
    with pytest.raises(ValueError, match="edge_index"):
        Graphs.from_pyg(item)


def test_what_is_no_graph():
    with pytest.raises(ValueError, match="TemporalData"):
        Graphs.from_pyg(TemporalData(src=torch.zeros(2), dst=torch.zeros(2), t=torch.zeros(2)))
    with pytest.raises(ValueError, match="no graph"):
        Graphs.from_pyg([])
    assert is_pyg(InMemory())
    assert is_pyg(items()[0])
    assert not is_pyg(np.zeros((3, 2)))


def test_names_types_and_the_own_frame_come_back():
    graphs = Graphs.collate(
        [
            Graphs(
                torch.rand(4, 2),
                torch.rand(4, 2),
                edge_index=RING,
                edge_type=torch.tensor([0, 1, 1, 0]),
                node_type=torch.tensor([1, 0, 0, 1]),
                node_types=("a", "b"),
                edge_types=("s", "d"),
                feature_names=("heat", "load"),
                label=torch.tensor([k]),
                classes=("ill", "well"),
                origin=(5e6, 1e5),
            )
            for k in (1, 0)
        ]
    )
    made = graphs.to_pyg()
    assert made[0].pos.dtype == torch.float64
    for source in (made, Batch.from_data_list(made)):
        back = Graphs.from_pyg(source)
        assert torch.equal(back.coordinates, graphs.coordinates)
        for name in ("feature_names", "classes", "node_types", "edge_types"):
            assert getattr(back, name) == getattr(graphs, name)
        assert same(back.replace(pos=graphs.pos), graphs)


@pytest.mark.parametrize(
    "labels", [("cat", "ant"), (np.int64(7), np.int64(3)), (np.array([7]), np.array([3])), (True, False)]
)
def test_labels_of_any_kind_are_classes(labels):
    graphs = load([Data(pos=torch.rand(3, 2), y=y) for y in labels])
    names = [y if isinstance(y, str) else str(np.asarray(y).astype(int).item()) for y in labels]
    assert [graphs.classes[i] for i in graphs.label.tolist()] == names


@pytest.mark.parametrize("y", [torch.arange(3), torch.tensor([0.5]), torch.tensor([[1, 0]])])
def test_a_label_that_is_no_class_is_said(y):
    with pytest.warns(DataNotice, match="`y`"):
        assert load(Data(pos=torch.rand(3, 2), y=y)).label is None


def test_what_is_not_read_is_said():
    with pytest.warns(DataNotice, match="normal"):
        load([Data(pos=torch.rand(3, 2), normal=torch.rand(3, 2))])


def test_arrays_of_numpy_and_weights_of_edges():
    data = Data(
        pos=np.eye(3), edge_index=np.array([[0], [1]], dtype=np.int32), edge_weight=torch.tensor([0.5])
    )
    graphs = load(data)
    assert graphs.edge_index.tolist() == [[0], [1]]
    assert graphs.edge_attr.tolist() == [[0.5]]
    assert isinstance(data.pos, np.ndarray)


def test_whole_positions_keep_their_digits():
    pos = torch.tensor([[2**30 + 1, 5], [2**30 + 3, 7]])
    assert load(Data(pos=pos)).coordinates.tolist() == pos.double().tolist()
