"""The report of a model of discrete graphs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from noisefold.data import community
from noisefold.eval.directed_scores import DIRECTED_METRICS
from noisefold.geometry.graph_drawing import drawings_of
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.report import contact_sheet, trajectory_strip, write_report
from noisefold.report.data.graph_path import graph_path, lasting
from noisefold.report.page.graphs import nearest_graphs

SMALL: dict[str, Any] = {"width": 16, "pair_width": 8, "layers": 1, "heads": 2}
HOSTILE = "<script>document.title='pwned'</script>"


def graphs_of(*graphs: nx.Graph) -> Graphs:
    return Graphs.collate([Graphs.from_networkx(g) for g in graphs])


def molecules(count: int = 6) -> Graphs:
    made = []
    for i in range(count):
        g = (nx.cycle_graph if i % 2 else nx.path_graph)(4 + i % 3)
        nx.set_node_attributes(g, {k: ("C", HOSTILE)[k % 2] for k in g}, "type")
        nx.set_edge_attributes(g, {e: ("single", "double")[sum(e) % 2] for e in g.edges}, "type")
        made.append(g)
    return graphs_of(*made)


@pytest.fixture(scope="module")
def model() -> Model:
    data = molecules()
    return Model.for_data(data, **SMALL).fit(data, steps=2, batch=4)


def page(folder: Path, **arguments: Any) -> tuple[str, dict[str, Any]]:
    text = write_report(folder / "report.html", **arguments).read_text()
    data = re.search(r'id="page-data">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    return text, json.loads(data[1])


def test_page_of_a_model_and_its_data(model: Model, tmp_path: Path) -> None:
    text, data = page(
        tmp_path, model=model, test=molecules(4), train=molecules(5), draws=4, steps=3, facts={"a": "b"}
    )
    assert {"samples", "nearest", "real", "path"} <= set(data["figures"])
    frames = data["figures"]["path"]["frames"]
    assert len(frames) == 3
    assert HOSTILE not in text
    assert "V.U.N." in text or "ratio" in text  # scores were computed


def test_page_of_a_model_alone_has_its_samples(model: Model, tmp_path: Path) -> None:
    _, data = page(tmp_path, model=model, draws=3, steps=2)
    assert set(data["figures"]) == {"samples", "path"}


def test_nothing_is_computed_without_draws(model: Model, tmp_path: Path) -> None:
    _, data = page(tmp_path, model=model, samples=molecules(2), draws=0)
    assert set(data["figures"]) == {"samples"}


def test_the_nearest_training_graph_of_a_copy_is_its_original() -> None:
    train = community(6, seed=0)
    assert nearest_graphs(train[[4, 1]], train) == [4, 1]


def test_a_path_keeps_places_and_knows_which_edges_last() -> None:
    end = graphs_of(nx.path_graph(4))
    start = graphs_of(nx.star_graph(3))
    path = graph_path([(0.0, start), (1.0, end)], 1, 5)
    assert np.array_equal(path.moments[0][0].places, path.ends[0].places)
    first = path.moments[0][0]
    kept = lasting(first, path.ends[0])
    assert first.edges[kept].tolist() == [[0, 1]]
    assert lasting(path.ends[0], path.ends[0]).all()
    with pytest.raises(ValueError, match="sizes"):
        graph_path([(0.0, graphs_of(nx.path_graph(3))), (1.0, end)], 1, 5)


def test_a_path_has_no_more_edges_than_fit_on_a_page() -> None:
    whole = graphs_of(nx.complete_graph(20))
    path = graph_path([(k / 20, whole) for k in range(21)], 1, 21, edges=1000)
    assert len(path.moments) == 1000 // 190
    assert path.signal[-1] == 1.0


def test_edges_that_change_their_type_do_not_last() -> None:
    one = molecules(1)
    other = one.replace(edge_type=1 - one.edge_type)
    (a,), (b,) = drawings_of(one, [0]), drawings_of(other, [0])
    assert not lasting(a, b).any()


def test_static_figures_lay_graphs_out() -> None:
    graphs = molecules(3)
    sheet = contact_sheet(graphs)
    drawn = [
        len(c.get_segments()) for axes in sheet.axes for c in axes.collections if hasattr(c, "get_segments")
    ]
    assert sum(drawn) == graphs.edge_index.shape[1] // 2
    strip = trajectory_strip([(0.0, graphs), (1.0, graphs)], moments=2, rows=1)
    assert len(strip.axes) == 2


def test_directed_graphs_are_scored_as_such(tmp_path: Path) -> None:
    graphs = graphs_of(*(nx.gnp_random_graph(6, 0.3, seed=k, directed=True) for k in range(8)))
    model = Model.for_data(graphs, variable="directed", **SMALL).fit(graphs, steps=1, batch=4)
    text, _ = page(tmp_path, model=model, test=graphs[:4], train=graphs[4:], draws=4, steps=2)
    assert all(f">{name}<" in text for name in DIRECTED_METRICS)
