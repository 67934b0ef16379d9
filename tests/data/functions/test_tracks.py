"""Tracks: places by time from tables as archives write them, onto fixed steps, and back."""

import csv
import warnings

import numpy as np
import pytest
import torch

from noisefold.data import DataNotice
from noisefold.data.functions import FunctionSamples, read_tracks, write_tracks
from noisefold.geometry.geographic import unit_vectors

IBTRACS = """SID,SEASON,NUMBER,BASIN,NAME,ISO_TIME,NATURE,LAT,LON,WMO_WIND,TRACK_TYPE
 ,Year, , , , , ,degrees_north,degrees_east,kts,
A,2005,1,NA,ONE,2005-08-23 18:00:00,TS,10.0,179.0,30,main
A,2005,1,NA,ONE,2005-08-24 06:00:00,TS,12.0,-179.0, ,main
A,2005,1,NA,ONE,2005-08-24 00:00:00,TS,11.0,180.0,35,main
A,2005,1,NA,ONE,2005-08-24 06:00:00,TS,12.5,-178.9,40,main
A,2005,1,NA,ONE,2005-08-24 09:00:00,TS, , ,40,main
B,2006,2,SP,TWO,2006-01-01 00:00:00,TS,-20.0,179.5,NA,main
B,2006,2,SP,TWO,2006-01-01 06:00:00,TS,-21.0,181.5,60,main
C,2006,3,SP,THREE,2006-02-01 00:00:00,TS,-20.0,10,50,spur-merge
D,2006,4,SP,FOUR,2006-03-01 00:00:00,TS,-20.0,10,50,main
"""


def written(tmp_path, text):
    path = tmp_path / "tracks.csv"
    path.write_text(text, encoding="utf-8")
    return path


def read(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_tracks(path)


@pytest.mark.slow
def test_ibtracs_as_it_is_distributed(tmp_path):
    """Units in a row, a pole and a date line, blank and missing cells, a double time, a spur, a lone fix."""
    with pytest.warns(DataNotice, match="left out") as notices:
        found = read_tracks(written(tmp_path, IBTRACS))
    assert len(notices) == 2
    assert found.names == ("A", "B")
    assert found.season.tolist() == [2005, 2006]
    assert found.graphs.sizes.tolist() == [3, 2]
    assert found.graphs.pos[:, 0].tolist() == [0, 6, 12, 0, 6]
    assert found.graphs.modality == FunctionSamples(outputs="sphere")
    latitude, longitude = found.degrees
    torch.testing.assert_close(
        latitude, torch.tensor([10.0, 11, 12, -20, -21], dtype=torch.float64), atol=1e-5, rtol=0
    )
    # One track writes -180..180, the other goes on beyond 180.
    expected = torch.tensor([179.0, -180, -179, 179.5, 181.5], dtype=torch.float64)
    torch.testing.assert_close(longitude, expected, atol=1e-4, rtol=0)
    assert found.wind.isnan().tolist() == [False, False, True, True, False]
    # No jump at the date line.
    steps = (found.graphs.x[1:3] - found.graphs.x[:2]).norm(dim=1)
    assert steps.max() < 0.03


@pytest.mark.parametrize(
    ("old", "new", "word"),
    [
        ("LAT,", "PHI,", "lat"),
        ("2005-08-23 18:00:00", "23.8.2005", "23.8.2005"),
        ("11.0,180.0", "x,180.0", "lat"),
        ("11.0,180.0", "91.0,180.0", "91"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path, old, new, word):
    with pytest.raises(ValueError, match=word):
        read(written(tmp_path, IBTRACS.replace(old, new)))


def test_empty_tables_are_refused(tmp_path):
    for text in ("", IBTRACS.splitlines()[0]):
        with pytest.raises(ValueError, match=r"tracks\.csv"):
            read(written(tmp_path, text))


def arrays(tmp_path, hours, name="time_s", factor=3600):
    path = tmp_path / "tracks.npz"
    n = len(hours)
    np.savez(
        path,
        storm_id=np.array(["S"]),
        season=np.array([1999], dtype=np.int16),
        offset=np.array([0, n]),
        lat=np.linspace(10, 30, n, dtype=np.float32),
        lon=np.linspace(-60, -80, n, dtype=np.float32),
        wind_kt=np.full(n, -1, dtype=np.int16),
        **{name: np.round(np.array(hours) * factor).astype(np.int64)},
    )
    return path


def test_arrays_in_seconds_or_minutes(tmp_path):
    for name, factor in (("time_s", 3600), ("time_min", 60)):
        found = read(arrays(tmp_path, [0, 6, 12], name, factor))
        assert found.graphs.pos[:, 0].tolist() == [0, 6, 12]
        assert found.wind.isnan().all()
    with pytest.raises(ValueError, match="time_s"):
        read(arrays(tmp_path, [0, 6, 12], "minutes", 60))


def test_resampling_interpolates_along_geodesics_from_whole_steps(tmp_path):
    hours = [1, 3, 8, 12, 18, 25, 30]
    found = read(arrays(tmp_path, hours))
    made = found.resampled(count=4)
    assert float(made.start) == 6
    assert made.graphs.pos[:, 0].tolist() == [0, 6, 12, 18]
    x = found.graphs.x.double()
    # At 12 and 18 there is a fix, at 6 it is three fifths of the way from 3 to 8.
    assert (made.graphs.x[1:3] - x[3:5]).abs().max() < 1e-6
    between = made.graphs.x[0].double()
    whole = torch.acos((x[1] @ x[2]) / x[1].norm() / x[2].norm())
    first = torch.acos((x[1] @ between) / x[1].norm() / between.norm())
    assert float(first / whole) == pytest.approx(0.6, abs=1e-3)
    assert (made.graphs.x.norm(dim=1) - 1).abs().max() < 1e-6


def test_tracks_are_divided_at_gaps(tmp_path):
    found = read(arrays(tmp_path, [0, 6, 30, 36, 42, 48]))
    with pytest.raises(ValueError, match="gap"):
        found.resampled(count=5)
    made = found.resampled(count=4)
    assert float(made.start) == 30
    assert found.resampled(count=5, gap=24).start.tolist() == [0]
    with pytest.raises(ValueError, match="count"):
        found.resampled(count=1)


def test_seasons_subsets_and_unions(tmp_path):
    found = read(written(tmp_path, IBTRACS))
    early, late = found.before(2006)
    assert (early.names, late.names) == (("A",), ("B",))
    first, second = found.graphs.split(0.5)
    assert (first.group.tolist(), second.group.tolist()) == ([2005], [2006])
    both = late.joined(early)
    assert both.names == ("B", "A")
    assert both.graphs.sizes.tolist() == [2, 3]
    assert torch.equal(both.wind.isnan(), torch.tensor([True, False, False, False, True]))
    assert both.positive.tolist() == [True, False]


def test_dequantisation_has_its_spread(tmp_path):
    found = read(arrays(tmp_path, list(range(0, 6000, 6))))
    moved = found.dequantised(4e-4, seed=3)
    apart = (moved.graphs.x.double() - found.graphs.x.double()).square().sum(1).mean()
    assert float(apart) == pytest.approx(2 * 4e-4**2, rel=0.15)
    assert torch.equal(moved.graphs.x, found.dequantised(4e-4, seed=3).graphs.x)
    with pytest.raises(ValueError, match="spread"):
        found.dequantised(0.0)


def test_what_is_written_is_read_again_with_draws_and_conventions(tmp_path):
    found = read(written(tmp_path, IBTRACS))
    again = read(write_tracks(tmp_path / "out.csv", found))
    assert again.names == found.names
    assert again.positive.tolist() == found.positive.tolist()
    assert (again.graphs.x - found.graphs.x).abs().max() < 2e-6
    assert torch.equal(again.start, found.start)
    path = write_tracks(tmp_path / "draws.csv", found, [found.graphs, found.graphs])
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["draw"] for row in rows] == ["0"] * 5 + ["1"] * 5
    assert rows[4]["lon"].startswith("181.5")
    with pytest.raises(ValueError, match="draws"):
        write_tracks(tmp_path / "wrong.csv", found, [found.graphs[0]])
    assert not (tmp_path / "wrong.csv").exists()


def test_excerpt_of_the_archive(shared):
    found = read(shared / "cyclones" / "ibtracs_excerpt.csv")
    assert len(found) == 30
    assert int(found.positive.sum()) == 14
    assert found.wind.isnan().sum() == 419
    latitude, longitude = found.degrees
    assert longitude.max() > 180
    assert longitude.min() < 0
    again = torch.tensor(unit_vectors(latitude, longitude))
    assert (again - found.graphs.x).abs().max() < 1e-6
