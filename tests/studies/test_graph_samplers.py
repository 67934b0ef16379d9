"""The study of graph samplers: it finds what is known of them."""

import json
from pathlib import Path

import pytest

from noisefold.studies.graphs import samplers


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    return samplers.measure(samplers.STUDY.begin(tmp_path_factory.mktemp("study"), "smoke"))


@pytest.mark.slow
def test_every_sampler_has_its_rows_and_errs_less_with_more_steps(result):
    rows = {(r["sampler"], r["steps"]): r for r in result["rows"]}
    assert len(rows) == len(result["rows"]) == 2 * len(samplers.SAMPLERS)
    assert json.loads(json.dumps(result)) == result
    for name in samplers.SAMPLERS:
        few, many = rows[name, 25], rows[name, 32]
        assert few["low"] <= few["valid"] <= few["high"]
        if "renoising" not in name:
            assert many["distance"] < few["distance"]
    assert (
        rows["D3PM reweighted, cosine grid", 32]["distance"] > 5 * rows["D3PM, cosine grid", 32]["distance"]
    )


@pytest.mark.slow
def test_table_and_figure_have_every_sampler(result):
    text = samplers.table(result)
    assert all(text.count(f"| {name} |") == 2 for name in samplers.SAMPLERS)
    assert len(samplers.figure(result).axes) == 2


def test_scales_are_known():
    assert samplers.STUDY.begin(Path(), "short").size.trees > 100
