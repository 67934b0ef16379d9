"""Small inputs of ../shared/cases that a text or array reader meets; skipped where they are absent."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from noisefold.data import load
from noisefold.data.notice import DataNotice

CASES = Path(__file__).parents[3] / "shared" / "cases"
CLOUD = [0.00123015, 0.298746, -0.274138]


def case(name, **how):
    if not (CASES / name).exists():
        pytest.skip("../shared/cases is not here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataNotice)
        return load(CASES / name, **how)


@pytest.mark.parametrize(
    "name",
    ["xyz_count_first.xyz", "cloud.pts", "cloud.txt", "cloud.tsv", "cloud.csv.gz", "csv_unnamed.csv"],
)
def test_one_cloud_in_the_formats_that_people_have(name):
    graphs = case(name)
    assert (len(graphs), graphs.num_nodes, graphs.dim, graphs.x) == (1, 50, 3, None)
    torch.testing.assert_close(graphs.pos[0], torch.tensor(CLOUD))


def test_decimal_commas():
    torch.testing.assert_close(
        case("xyz_decimal_comma_space.xyz").pos[0], torch.tensor([0.0012, 0.2987, -0.2741])
    )


def test_extended_xyz():
    torch.testing.assert_close(
        case("xyz_ext_forces_first.xyz").pos[0], torch.tensor([-0.7419, 1.1221, -0.763])
    )


def test_ids_of_cells():
    graphs = case("csv_cell_id.csv")
    assert (len(graphs), graphs.dim, graphs.feature_names) == (1, 2, ("area",))


def test_classes():
    assert case("csv_int_label.csv").classes == ("0", "1")
    with pytest.raises(ValueError, match="-1"):
        case("npz_negative_label.npz")


@pytest.mark.parametrize("name", ["csv_utm.csv", "npy_utm.npy"])
def test_far_from_zero(name):
    graphs = case(name)
    if name.endswith("csv"):
        exact = np.loadtxt(CASES / name, delimiter=",", skiprows=1)
    else:
        exact = np.load(CASES / name)
    assert np.abs(graphs.coordinates.numpy() - exact).max() < 1e-6
    assert graphs.pos.abs().max() < 1


def test_columns_by_name():
    graphs = case("columns")
    assert graphs.feature_names == ("heat", "load")
    assert graphs.x.unique(dim=0).tolist() == [[1, 100]]


def test_split_of_folders():
    graphs = case("split_folder", points=20)
    assert [part.classes for part in graphs.split(0.9)] == [("chair", "sofa")] * 2
    assert [part.label.tolist() for part in graphs.split(0.9)] == [[0, 1]] * 2
