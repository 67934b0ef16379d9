"""The studies of speed at their smallest: what they write, and that they go on as they were."""

import json
from pathlib import Path

import pytest

from noisefold.studies import STUDIES
from noisefold.studies.sampling.few_steps import WAYS


@pytest.mark.slow
def test_speedrun(tmp_path: Path) -> None:
    files = STUDIES["speedrun"].run(tmp_path, "smoke", 0)
    result = json.loads(files[0].read_text())
    assert result["attempts"].keys() == result["step_seconds"].keys() == {"before", "Muon, batch 16"}
    assert all(len(found) == 2 for found in result["attempts"].values())
    (race,) = result["races"]
    assert [look["steps"] for look in race["looks"]] == [1, 2]
    for look in race["looks"]:
        assert {len(values) for values in look["scores"].values()} == {3}
        assert look["reached"] is False  # two steps make no chairs
    again = json.loads(STUDIES["speedrun"].run(tmp_path, "smoke", 0)[0].read_text())
    assert again["races"] == result["races"]
    assert again["attempts"] == result["attempts"]


@pytest.mark.slow
def test_few_steps(tmp_path: Path) -> None:
    result = json.loads(STUDIES["few-steps"].run(tmp_path, "smoke", 0)[0].read_text())
    assert result["subjects"].keys() == {"chairs", "limb buds"}
    for found in result["subjects"].values():
        assert len(found["distance"]) == len(WAYS) + 3
        assert found["distance"]["Heun, 25"] == 0
        assert found["distance"]["DPM-Solver, 25"] < found["distance"]["DDIM, 1"]
        assert found["distance"].keys() <= found["scores"]["rows"].keys()


@pytest.mark.slow
def test_plans(tmp_path: Path) -> None:
    result = json.loads(STUDIES["plans"].run(tmp_path, "smoke", 0)[0].read_text())
    (plan,) = result["plans"].values()
    assert plan["low"] < plan["median"] < plan["high"]
    assert result["inside"] == (plan["low"] <= plan["found"] <= plan["high"])
    assert plan["steps"] > plan["pilots"][-1][0]


@pytest.mark.slow
def test_scaling(tmp_path: Path) -> None:
    result = json.loads(STUDIES["scaling"].run(tmp_path, "smoke", 0)[0].read_text())
    assert result["subjects"].keys() == {"chairs", "limb buds"}
    for found in result["subjects"].values():
        assert len(found["trainings"]) == 4 * 2
        sizes = [size["parameters"] for size in found["sizes"].values()]
        assert sizes == sorted(sizes)
        assert [f["count"] for f in found["fewer"]] == [4, 12]
        for training in found["trainings"]:
            cost = found["sizes"][str(training["factor"])]["step_seconds"]
            assert training["steps"] == max(2, round(training["seconds"] / cost))


def test_optimizers(tmp_path: Path) -> None:
    result = json.loads(STUDIES["optimizers"].run(tmp_path, "smoke", 0)[0].read_text())
    (found,) = result["subjects"].values()
    for row, trainings in found["trainings"].items():
        assert len({training["loss"] for training in trainings}) == 2  # one for each seed
        assert trainings[0]["steps"] == max(1, round(0.1 / found["step_seconds"][row]))
