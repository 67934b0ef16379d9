import json
from pathlib import Path

import pytest
import torch

from noisefold.geometry import Graphs
from noisefold.studies.networks.oversmoothing import SCALES, STUDY, layer_smoothness


@pytest.mark.slow
def test_smoke(tmp_path: Path) -> None:
    files = STUDY.run(tmp_path, "smoke", 0)
    result = json.loads(files[0].read_text())
    size = SCALES["smoke"]
    assert len(result["rows"]) == 3 * 2 * len(size.layers) * size.seeds
    for row in result["rows"]:
        assert len(row["before"]) == len(row["after"]) == row["layers"]
    trained = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*-*.json")}
    STUDY.run(tmp_path, "smoke", 0)
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*-*.json")} == trained


def test_smoothness_of_known_states() -> None:
    """A straight line of nodes: equal states have neither, independent ones have the energy 1."""
    pos = torch.arange(800, dtype=torch.float64)[:, None]
    graphs = Graphs(pos, ptr=torch.tensor([0, 800]))
    edges = torch.stack([torch.arange(799), torch.arange(1, 800)])
    energy, distance = layer_smoothness(torch.ones(800, 3, dtype=torch.float64), edges, graphs)
    assert energy == 0
    assert distance == pytest.approx(0, abs=1e-12)
    free = torch.randn(800, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    energy, distance = layer_smoothness(free, edges, graphs)
    # Of 24,000 numbers: standard errors near 0.008; cosines of independent states have mean 0.
    assert energy == pytest.approx(1, abs=0.03)
    assert distance == pytest.approx(1, abs=0.01)
