"""The study of shapes: that it leaves its files, goes on where it was, and compares what it says it does."""

import json
import math
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.nn import DMP, Latents
from noisefold.studies import STUDIES, cells, data, shapes, tables

ROWS = ("GAT kNN", "GAT DMP balanced", "Latents", "nothing below u = .3")


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Procedural chairs, whatever data are here, so that every machine tests the same."""
    out = tmp_path_factory.mktemp("shapes")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NOISEFOLD_DATA", str(out / "nothing"))
        return out, shapes.run(out, "smoke", rows=ROWS)


@pytest.fixture(autouse=True)
def no_data(monkeypatch, ran):
    monkeypatch.setenv("NOISEFOLD_DATA", str(ran[0] / "nothing"))


def stamps(out):
    return {f: f.stat().st_mtime_ns for f in out.rglob("*") if f.name in ("cell.json", "costs.json")}


def test_every_cell_has_its_costs_steps_and_scores(ran):
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
            assert set(c["scores"]) == set(cells.METRICS)
            assert math.isfinite(c["val_loss"])
            assert len(c["val_loss_by_signal"]) == 10
    files = sorted(f.relative_to(out).as_posix() for f in out.rglob("cell.json"))
    assert files[0] == "cells/gat-dmp-balanced/seed-0/cell.json"
    assert len(files) == 2 * len(ROWS)
    assert (out / "cells/latents/seed-1/model/model.safetensors").is_file()
    assert not list(out.rglob("checkpoints"))


def test_seeds_differ_and_first_weights_are_shared_by_nobody(ran):
    for kept in ran[1]["rows"].values():
        assert kept[0]["val_loss"] != kept[1]["val_loss"]
        assert kept[0]["scores"] != kept[1]["scores"]


def test_a_second_run_repeats_nothing(ran, monkeypatch):
    out, result = ran
    before = stamps(out)
    monkeypatch.setattr(cells.Cell, "run", lambda self, bench: pytest.fail("trained again"))
    assert shapes.run(out, "smoke", rows=ROWS) == result
    assert stamps(out) == before


def test_a_lost_cell_is_made_again_as_it_was(ran):
    out, result = ran
    file = out / "cells/gat-knn/seed-1/cell.json"
    file.unlink()
    again = shapes.run(out, "smoke", rows=ROWS)["rows"]["GAT kNN"][1]
    before = result["rows"]["GAT kNN"][1]
    assert {k: v for k, v in again.items() if k != "sampling"} == {
        k: v for k, v in before.items() if k != "sampling"
    }


def test_cells_made_otherwise_are_refused(ran, monkeypatch):
    other = replace(shapes.SCALES["smoke"], training=replace(shapes.SCALES["smoke"].training, lr=0.5))
    monkeypatch.setitem(shapes.SCALES, "smoke", other)
    with pytest.raises(ValueError, match="made with another network, data or settings"):
        shapes.run(ran[0], "smoke", rows=ROWS)


def test_a_row_added_later_is_measured_beside_a_known_one(ran, monkeypatch, tmp_path):
    """Machine now twice as slow: the new row's cost is given in the seconds of then."""
    size = shapes.SCALES["smoke"]
    file = tmp_path / "costs.json"
    file.write_text('{"GAT kNN": 0.5}')
    monkeypatch.setattr(
        cells, "_step_times", lambda model, bench, steps: [1.0 if isinstance(model.net, DMP) else 3.0]
    )
    builds = {row: lambda row=row: shapes.ROWS[row](size) for row in ("GAT kNN", "Latents")}
    bench = shapes._bench("smoke", size)
    assert cells.measure_costs(tmp_path / "costs", builds, bench) == {"GAT kNN": 0.5, "Latents": 1.5}
    assert json.loads(file.read_text()) == {"GAT kNN": 0.5, "Latents": 1.5}


def test_costs_leave_out_first_and_last_step(monkeypatch):
    """A clock that stands at 10, 11, 13, 16, 20 after the steps: the middle ones took 1, 2 and 3."""
    ticks = iter([10.0, 11.0, 13.0, 16.0, 20.0])
    monkeypatch.setattr(cells, "_clock", lambda model: lambda: next(ticks))
    size = shapes.SCALES["smoke"]
    bench = shapes._bench("smoke", size)
    assert cells._step_times(bench.model(lambda: size.dmp(), 0), bench, 3) == [1.0, 2.0, 3.0]


def test_a_claim_holds_against_others_and_dies_with_its_process(tmp_path):
    with cells.claimed(tmp_path) as mine:
        assert mine
        with cells.claimed(tmp_path) as second:
            assert not second
        with cells.claimed(tmp_path / "other") as other:
            assert other
    script = """
        import sys, time
        from pathlib import Path
        from noisefold.studies.cells import claimed
        with claimed(Path(sys.argv[1])) as mine:
            print(mine, flush=True)
            time.sleep(600)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "True\n"
        with cells.claimed(tmp_path) as mine:
            assert not mine
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    with cells.claimed(tmp_path) as mine:
        assert mine


def test_a_process_waits_for_the_cells_of_another(ran, monkeypatch):
    """Somebody else holds the last cell and finishes it while this process polls."""
    out, _ = ran
    bench = shapes._bench("smoke", shapes.SCALES["smoke"])
    folder = out / "held"
    cell = cells.Cell("GAT kNN", 0, lambda: None, 1, 1.0, folder)
    monkeypatch.setattr(cells.Cell, "run", lambda self, bench: pytest.fail("worked on a claimed cell"))
    polls = []

    def sleep(seconds):
        polls.append(seconds)
        if len(polls) == 2:
            cell.file.write_text("{}")

    monkeypatch.setattr(cells.time, "sleep", sleep)
    with cells.claimed(folder) as mine:
        assert mine
        cells.work([cell], bench)
    assert len(polls) == 2


def test_random_is_unit_noise_in_the_papers_unit(ran):
    """Flattened clouds of n points, N(0, 1) against data of rms r << 1: W is near sqrt(3 n (1 + r^2)) / n."""
    rows = ran[1]["references"]["rows"]
    assert list(rows) == ["RANDOM", "real", "train", "noise", "collapsed"]
    value = rows["RANDOM"]["scores"]["paper-W"]["value"]
    n = shapes.SCALES["smoke"].training.nodes
    # rms .1 to .15 adds 1 %, the least of 8 x 8 distances with spread 1 / sqrt(2) takes some 5 % off
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
    assert len({cells.slug(row) for row in nets}) == len(nets)
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


def test_held_out_chairs_are_always_the_same_and_never_trained_on(shared, monkeypatch):
    monkeypatch.setenv("NOISEFOLD_DATA", str(shared))
    sets = data.chairs()
    assert (len(sets.train), len(sets.test)) == (789, 150)
    train = {tuple(p.tolist()) for p in sets.train.pos[::1024]}
    test = {tuple(p.tolist()) for p in sets.test.pos[::1024]}
    assert not train & test
    everything = data.modelnet("train", ("chair",))
    assert {tuple(p.tolist()) for p in everything.pos[::1024]} == train | (
        {tuple(p.tolist()) for p in sets.test[50:].pos[::1024]}
    )
    assert torch.equal(data.chairs().test.pos, sets.test.pos)


def test_without_data_smoke_says_so_and_more_refuses(ran, tmp_path):
    assert data.modelnet("train") is None
    assert data.chairs() is None
    assert "procedural chairs in its place" in ran[1]["data"]
    for scale in ("short", "paper"):
        with pytest.raises(ValueError, match="this study needs ModelNet"):
            shapes.run(tmp_path, scale)
    assert not list(tmp_path.iterdir())


def test_data_stand_beside_the_checkout_by_default(monkeypatch):
    monkeypatch.delenv("NOISEFOLD_DATA")
    assert data.data_folder().parts[-2:] == ("shared", "data")


def test_refuses_what_it_has_not(tmp_path):
    with pytest.raises(ValueError, match="scale must be one of smoke, short, paper, got 'large'"):
        shapes.run(tmp_path, "large")
    with pytest.raises(ValueError, match="rows has 'GCN none'"):
        shapes.run(tmp_path, "smoke", rows=("GCN none",))


# -- what it says --------------------------------------------------------------------------------------------


def test_mean_and_error():
    assert tables.mean_and_error([1.0, 2.0, 6.0]) == (3.0, math.sqrt(7.0 / 3.0))
    assert math.isnan(tables.mean_and_error([1.0])[1])


def test_table_has_a_line_for_every_row_and_reference(ran):
    text = tables.table(ran[1])
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
    mean, error = tables.mean_and_error([c["val_loss"] for c in kept])
    assert f"| {mean:.4f} ± {error:.4f} |" in first
    assert "| 5.598 |" in first


def test_difference_is_taken_seed_by_seed(ran):
    """Losses that move together by seed: a difference of .25 without an error, however seeds differ."""
    result = json.loads(json.dumps(ran[1]))
    for row, gap in (("GAT kNN", 0.0), ("Latents", 0.25)):
        for c, level in zip(result["rows"][row], (1.0, 5.0), strict=True):
            c["val_loss"] = level + gap
    latents = next(line for line in tables.table(result).splitlines() if line.startswith("| Latents |"))
    assert "| +0.2500 ± 0.0000 |" in latents


def test_figure_divides_by_knn_level_by_level(ran):
    result = json.loads(json.dumps(ran[1]))
    for row, factor in (("GAT kNN", 1.0), ("Latents", 0.5)):
        for c in result["rows"][row]:
            c["val_loss_by_signal"] = [None, *(factor * (i + 1) for i in range(9))]
    left, right = tables.figure(result).axes
    lines = {c.get_label(): c.lines[0].get_xydata() for c in left.containers}
    assert lines["kNN"][:, 1].tolist() == [1.0] * 9
    assert lines["Latents"][:, 1].tolist() == [0.5] * 9
    assert lines["Latents"][:, 0].tolist() == pytest.approx([0.15 + 0.1 * i for i in range(9)])
    assert len(right.containers) == len(ROWS)
    assert right.get_xscale() == "log"


def test_figure_says_what_lies_far_off_and_leaves_it_out(ran):
    result = json.loads(json.dumps(ran[1]))
    for c in result["rows"]["Latents"]:
        c["val_loss"] *= 2
        c["val_loss_by_signal"] = [None if v is None else 2 * v for v in c["val_loss_by_signal"]]
    left, right = tables.figure(result).axes
    assert left.get_ylim()[1] < 1.9
    assert right.get_ylim()[1] < 1.9 * min(c["val_loss"] for c in result["rows"]["GAT kNN"])
    far = tables.mean_and_error([c["val_loss"] for c in result["rows"]["Latents"]])[0]
    assert any(t.startswith("Latents (above ") for t in left.get_legend_handles_labels()[1])
    assert f"Latents (at {far:.2f})" in right.get_legend_handles_labels()[1]


def test_study_leaves_its_files(tmp_path, monkeypatch, ran):
    monkeypatch.setattr(shapes, "run", lambda out, scale, seed: ran[1])
    paths = STUDIES["shapes"].run(tmp_path, "smoke", 0)
    assert [p.name for p in paths] == ["smoke.json", "smoke.md", "smoke.png"]
    kept = json.loads(paths[0].read_text())
    assert kept.pop("made")["command"] == "noisefold study shapes --scale smoke"
    assert kept == ran[1]
    assert STUDIES["shapes"].scales == ("smoke", "short", "paper")
