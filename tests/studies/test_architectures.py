"""The study of shapes: that it leaves its files, goes on where it was, and compares what it says it does."""

import json
import math
from dataclasses import replace

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.nn import DMP, Latents
from noisefold.studies import STUDIES
from noisefold.studies.kit import datasets, trials
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.shapes import architectures as shapes

ROWS = ("GAT kNN", "GAT DMP balanced", "Latents", "nothing below u = .3")


def measured(out, scale="smoke", rows=ROWS):
    return shapes.measure(shapes.STUDY.begin(out, scale), rows)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("shapes")


@pytest.fixture(scope="module")
def ran(out):
    """Procedural chairs, whatever data are here, so that every machine tests the same."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(out / "nothing"))
        return out, measured(out)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, out):
    monkeypatch.setenv("NOISEFOLD_DATA", str(out / "nothing"))


def stamps(out):
    return {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.name in ("trial.json", "costs.json")}


@pytest.mark.slow
def test_every_trial_has_its_costs_steps_and_scores(ran):
    out, result = ran
    assert list(result["rows"]) == list(ROWS)
    assert json.loads(json.dumps(result)) == result
    for row, kept in result["rows"].items():
        assert [c["seed"] for c in kept] == result["seeds"] == [0, 1]
        for c in kept:
            assert c["row"] == row
            assert c["steps"] == max(1, round(result["seconds"] / c["cost"]))
            assert c["plan"]["training"]["steps"] == c["steps"]
            assert c["sampling"] > 0
            assert set(c["scores"]) == set(trials.METRICS)
            assert math.isfinite(c["val_loss"])
            assert len(c["val_loss_by_signal"]) == 10
    files = sorted(f.relative_to(out).as_posix() for f in out.rglob("trial.json"))
    assert files[0] == "smoke/trials/gat-dmp-balanced/seed-0/trial.json"
    assert len(files) == 2 * len(ROWS)
    assert (out / "smoke/trials/latents/seed-1/model/model.safetensors").is_file()
    assert not list(out.rglob("checkpoints"))


@pytest.mark.slow
def test_seeds_differ_and_first_weights_are_shared_by_nobody(ran):
    for kept in ran[1]["rows"].values():
        assert kept[0]["val_loss"] != kept[1]["val_loss"]
        assert kept[0]["scores"] != kept[1]["scores"]


@pytest.mark.slow
def test_a_second_run_repeats_nothing(ran, monkeypatch):
    out, result = ran
    before = stamps(out)
    monkeypatch.setattr(trials, "validate", lambda *_: pytest.fail("trained again"))
    assert measured(out) == result
    assert stamps(out) == before


@pytest.mark.slow
def test_a_lost_trial_is_made_again_as_it_was(ran):
    out, result = ran
    file = out / "smoke/trials/gat-knn/seed-1/trial.json"
    file.unlink()
    again = measured(out)["rows"]["GAT kNN"][1]
    before = result["rows"]["GAT kNN"][1]
    assert {k: v for k, v in again.items() if k != "sampling"} == {
        k: v for k, v in before.items() if k != "sampling"
    }


@pytest.mark.slow
def test_trials_made_otherwise_are_refused(ran, monkeypatch):
    other = replace(shapes.SCALES["smoke"], training=replace(shapes.SCALES["smoke"].training, lr=0.5))
    monkeypatch.setitem(shapes.SCALES, "smoke", other)
    with pytest.raises(ValueError, match=r"trial\.json"):
        measured(ran[0])


@pytest.mark.slow
def test_random_is_unit_noise_in_the_papers_unit(ran):
    """Flattened clouds of n points, N(0, 1) against data of rms r << 1: W is near sqrt(3 n (1 + r^2)) / n."""
    rows = ran[1]["references"]["rows"]
    assert list(rows) == ["RANDOM", "real", "train", "noise", "collapsed"]
    value = rows["RANDOM"]["scores"]["paper-W"]["value"]
    n = shapes.SCALES["smoke"].training.nodes
    # rms 0.1 to 0.15 adds 1 %, the least of 8 x 8 distances with spread 1 / sqrt(2) takes some 5 % off
    assert value == pytest.approx(math.sqrt(3 * n) / n, rel=0.1)


# -- rows ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", shapes.SCALES)
@pytest.mark.parametrize("row", shapes.ROWS)
def test_rows_can_be_written_down(row, scale):
    net = shapes.ROWS[row](shapes.SCALES[scale])
    assert encode(decode(encode(net))) == encode(net)


def test_rows_are_what_they_are_called():
    size = shapes.SCALES["short"]
    nets = {row: build(size) for row, build in shapes.ROWS.items()}
    same = encode(DMP())
    assert encode(nets["GAT DMP balanced"]) == same
    assert encode(nets["Latents"]) == encode(Latents())
    for name, rule in (("kNN", "knn"), ("long-short", "long-short"), ("full", "full")):
        assert encode(nets[f"GCN {name}"]) == encode(DMP.baseline(rule, conv="gcn"))
    assert len({json.dumps(encode(n)) for n in nets.values()}) == len(nets)
    assert len({slug(row) for row in nets}) == len(nets)
    paper = shapes.ROWS["GAT DMP voxel"](shapes.SCALES["paper"])
    assert encode(paper) == encode(DMP.paper("pos"))


def test_tables_show_every_row():
    shown = [row for lines in shapes.TABLES.values() for row in lines.values()]
    assert set(shown) == set(shapes.ROWS)
    lines = {line for table in shapes.TABLES.values() for line in table}
    assert set(shapes.PAPER) - {"RANDOM"} <= lines


def test_steps_follow_the_time_or_the_epochs():
    short, paper = shapes.SCALES["short"], shapes.SCALES["paper"]
    assert short.steps(0.1, 789) == 350
    assert short.steps(1e9, 789) == 1
    assert paper.steps(0.1, 9843) == paper.steps(99.0, 9843) == round(300 * 9843 / 128)


# -- data ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_held_out_chairs_are_always_the_same_and_never_trained_on(shared, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    sets = datasets.chairs()
    assert (len(sets.train), len(sets.test)) == (789, 150)
    train = {tuple(p.tolist()) for p in sets.train.pos[::1024]}
    test = {tuple(p.tolist()) for p in sets.test.pos[::1024]}
    assert not train & test
    everything = datasets.modelnet("train", ("chair",))
    assert {tuple(p.tolist()) for p in everything.pos[::1024]} == train | (
        {tuple(p.tolist()) for p in sets.test[50:].pos[::1024]}
    )
    assert torch.equal(datasets.chairs().test.pos, sets.test.pos)


@pytest.mark.slow
def test_without_data_smoke_says_so_and_more_refuses(ran, tmp_path):
    assert datasets.modelnet("train") is None
    assert "procedural chairs in its place" in ran[1]["data"]
    for scale in ("short", "paper"):
        with pytest.raises(ValueError, match="ModelNet"):
            measured(tmp_path, scale, None)
    assert not list(tmp_path.iterdir())


def test_data_stand_beside_the_checkout_by_default(monkeypatch):
    monkeypatch.delenv("NOISEFOLD_DATA")
    assert datasets.data_folder().parts[-2:] == ("shared", "data")


def test_refuses_what_it_has_not(tmp_path):
    with pytest.raises(ValueError, match="'large'"):
        measured(tmp_path, "large")
    with pytest.raises(ValueError, match="'GCN none'"):
        measured(tmp_path, rows=("GCN none",))


# -- what it says --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_table_has_a_line_for_every_row_and_reference(ran):
    text = shapes.table(ran[1])
    for line in (
        "GAT kNN",
        "Latents",
        "exponential",
        "nothing below u = .3",
        "RANDOM",
        "collapsed",
    ):
        assert f"\n| {line} |" in text
    assert "| GCN kNN |" not in text
    first = next(line for line in text.splitlines() if line.startswith("| GAT kNN |"))
    kept = ran[1]["rows"]["GAT kNN"]
    mean, error = mean_and_error([c["val_loss"] for c in kept])
    assert f"| {mean:.4f} ± {error:.4f} |" in first
    assert "| 5.598 |" in first


@pytest.mark.slow
def test_difference_is_taken_seed_by_seed(ran):
    """Losses that move together by seed: a difference of 0.25 without an error, however seeds differ."""
    result = json.loads(json.dumps(ran[1]))
    for row, gap in (("GAT kNN", 0.0), ("Latents", 0.25)):
        for c, level in zip(result["rows"][row], (1.0, 5.0), strict=True):
            c["val_loss"] = level + gap
    latents = next(line for line in shapes.table(result).splitlines() if line.startswith("| Latents |"))
    assert "| +0.2500 ± 0.0000 |" in latents


@pytest.mark.slow
def test_figure_divides_by_knn_level_by_level(ran):
    result = json.loads(json.dumps(ran[1]))
    for row, factor in (("GAT kNN", 1.0), ("Latents", 0.5)):
        for c in result["rows"][row]:
            c["val_loss_by_signal"] = [None, *(factor * (i + 1) for i in range(9))]
    left, right = shapes.figure(result).axes
    lines = {c.get_label(): c.lines[0].get_xydata() for c in left.containers}
    assert lines["kNN"][:, 1].tolist() == [1.0] * 9
    assert lines["Latents"][:, 1].tolist() == [0.5] * 9
    assert lines["Latents"][:, 0].tolist() == pytest.approx([0.15 + 0.1 * i for i in range(9)])
    assert len(right.containers) == len(ROWS)
    assert right.get_xscale() == "log"


@pytest.mark.slow
def test_figure_says_what_lies_far_off_and_leaves_it_out(ran):
    result = json.loads(json.dumps(ran[1]))
    for c in result["rows"]["Latents"]:
        c["val_loss"] *= 2
        c["val_loss_by_signal"] = [None if v is None else 2 * v for v in c["val_loss_by_signal"]]
    left, right = shapes.figure(result).axes
    assert left.get_ylim()[1] < 1.9
    assert right.get_ylim()[1] < 1.9 * min(c["val_loss"] for c in result["rows"]["GAT kNN"])
    far = mean_and_error([c["val_loss"] for c in result["rows"]["Latents"]])[0]
    assert any(t.startswith("Latents (above ") for t in left.get_legend_handles_labels()[1])
    assert f"Latents (at {far:.2f})" in right.get_legend_handles_labels()[1]


@pytest.mark.slow
def test_study_leaves_its_files(tmp_path, ran):
    paths = shapes.STUDY.begin(tmp_path, "smoke").write(ran[1], shapes.table(ran[1]), shapes.figure(ran[1]))
    assert [p.name for p in paths] == ["smoke.json", "smoke.md", "smoke.png"]
    kept = json.loads(paths[0].read_text())
    assert kept.pop("made")["command"] == "noisefold study shapes --scale smoke"
    assert {k: v for k, v in kept.items() if k not in ("name", "scale")} == ran[1]
    assert STUDIES["shapes"].scales == ("smoke", "short", "paper")
