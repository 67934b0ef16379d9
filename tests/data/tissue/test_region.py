"""Regions from text, against the comparison they mean."""

import numpy as np
import pytest
from made_tissues import N, tissue

from noisefold.data.tissue.region import region

DATA = tissue()
DATA.obs["flag"] = [True, False] * (N // 2)
DATA.obs["type"] = ["A & B", "c, d", "e = f", " g"] * (N // 4)
DATA.obs["a & b"] = np.arange(N)
POS = DATA.obsm["spatial"]
STAGE = (DATA.obs["stage"] == "E9").to_numpy()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x > 0.2 & y < 1", (POS[:, 0] > 0.2) & (POS[:, 1] < 1)),
        ("0.2:, :1", (POS[:, 0] >= 0.2) & (POS[:, 1] <= 1)),
        ("obs/stage = E9", STAGE),
        ("obs/stage != E9 & x >= 0", ~STAGE & (POS[:, 0] >= 0)),
        ("obs/day <= 10", DATA.obs["day"].to_numpy() <= 10),
        ("obs/flag", DATA.obs["flag"].to_numpy()),
        ('obs/type = "A & B"', (DATA.obs["type"] == "A & B").to_numpy()),
        ('obs/type = "A & B" & x > 0', (DATA.obs["type"] == "A & B").to_numpy() & (POS[:, 0] > 0)),
        ("obs/type = c, d", (DATA.obs["type"] == "c, d").to_numpy()),
        ('obs/type = "e = f"', (DATA.obs["type"] == "e = f").to_numpy()),
        ('obs/type = " g"', (DATA.obs["type"] == " g").to_numpy()),
        ('obs/"a & b" < 7', np.arange(N) < 7),
    ],
)
def test_what_a_region_means(written, text, expected):
    np.testing.assert_array_equal(region(text, POS, written(DATA)), expected)
    np.testing.assert_array_equal(region(text, POS, DATA), expected)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("z > 1", "'z'"),
        ("x > word", "'word'"),
        ("0:1, 0:1, 0:1", "3"),
        ("obs/stages = E9", "obs/stage"),
        ("obs/stage = E99", "E99"),
        ("obs/stage < E9", "obs/stage"),
        ("obs/word", "obs/word"),
        ("x >", "x >"),
    ],
)
def test_refuses(text, name):
    with pytest.raises(ValueError, match=name):
        region(text, POS, DATA)
