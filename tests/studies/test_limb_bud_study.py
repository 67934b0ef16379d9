import json
from pathlib import Path

import pytest
import torch

from noisefold.data.limb_bud.range_by_time import RangeByTime
from noisefold.geometry import Graphs
from noisefold.studies.transcriptomics import limb_bud
from noisefold.studies.transcriptomics.limb_bud import QUESTIONS, ROWS, STUDY, score_draws


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(limb_bud, "ROWS", {k: ROWS[k] for k in ("GAT DMP", "SetTransformer")})
        files = STUDY.run(tmp_path_factory.mktemp("study"), "smoke", 0)
    assert [f.suffix for f in files] == [".json", ".md", ".png"]
    return json.loads(files[0].read_text())


@pytest.mark.slow
def test_every_row_is_generated_from_and_asked(result: dict) -> None:
    for trials in result["rows"].values():
        assert len(trials) == 2
        assert trials[0]["asked"]["questions"].keys() == QUESTIONS.keys()
        assert not trials[1]["asked"]["questions"]
    for name in QUESTIONS:
        assert {"mean", "kriging", "Gaussian field"} < result["baselines"][name].keys()
    assert {"10 x 10", "6 x 5"} == result["rows"]["SetTransformer"][0]["asked"]["grids"].keys()
    assert {"10 x 10", "6 x 5"} == result["scattered"][0]["asked"]["grids"].keys()


@pytest.mark.slow
def test_references_stand_in_order(result: dict) -> None:
    """Real against real is nearer than noise, and noise nearer than one field repeated."""
    rows = result["references"]["rows"]
    found = [rows[name]["scores"]["energy-V"]["value"] for name in ("real", "noise", "collapsed")]
    assert found == sorted(found)


def test_draws_equal_to_the_truth_have_no_error() -> None:
    truth = Graphs.dense(torch.rand(3, 8, 2), torch.randn(3, 8, 3))
    ranges = RangeByTime((0.0, 1.0), ((-1.0,) * 3,) * 2, ((1.0,) * 3,) * 2)
    known = torch.zeros(truth.num_nodes, dtype=torch.bool)
    assert truth.x is not None
    same = score_draws(truth.x.expand(20, -1, -1), truth, known, ranges)
    assert same["scores"]["CRPS"]["value"] == pytest.approx(0, abs=1e-7)
    # The range is 2 wide: a shift of 1 is half a range.
    apart = score_draws(truth.x.expand(20, -1, -1) + 1, truth, known, ranges)
    assert apart["scores"]["CRPS"]["value"] == pytest.approx(0.5, abs=1e-6)


def test_names_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'MLP'"):
        limb_bud.measure(STUDY.begin(tmp_path, "smoke"), rows=["MLP"])
