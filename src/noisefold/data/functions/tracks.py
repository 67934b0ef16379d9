r"""Tracks on the Earth: places of a storm, an animal or a ship by time, as functions from time to the sphere.

Each track is one graph: times ``pos [n, 1]`` in hours since its first fix, unit vectors ``x [n, 3]``. Unit
vectors know no date line and no pole. Latitudes and longitudes are made of them only for output, each track
in the convention of longitudes that it came in.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from noisefold.data.functions.modality import FunctionSamples
from noisefold.data.functions.track_table import TrackTable, table_of_npz, table_of_text
from noisefold.data.notice import notify
from noisefold.files import staged
from noisefold.geometry.geographic import latitude_longitude, unit_vectors
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.manifold import Sphere

__all__ = ["Tracks", "degrees_of", "ordered_tracks", "read_tracks", "tracks_of", "write_tracks"]

_SPHERE = Sphere()
_HOUR = 1 / 60  # hours: times as near as this are the same


@dataclass(frozen=True, eq=False)
class Tracks:
    """Tracks as graphs, with what is known of each.

    Parameters
    ----------
    graphs
        Times ``[n, 1]`` in hours since the first fix of each track, rising, and unit vectors ``[n, 3]``.
    names
        Names of the tracks, ``[g]``.
    start
        Hours of the first fixes since 1970-01-01 00:00 UTC, ``[g]``, float64.
    season
        Year of each track, ``[g]``, int64: the unit that is held out as a whole.
    positive
        Whether longitudes of each track are written in [0, 360), ``[g]``, bool; else in [-180, 180).
    wind
        Wind at each fix, NaN where missing, ``[n]``, or None.
    """

    graphs: Graphs
    names: tuple[str, ...]
    start: Tensor
    season: Tensor
    positive: Tensor
    wind: Tensor | None = None

    def __len__(self) -> int:
        return len(self.graphs)

    def __repr__(self) -> str:
        years = f", seasons {int(self.season.min())} to {int(self.season.max())}" if len(self) else ""
        return f"Tracks({len(self)} tracks, {self.graphs.num_nodes} fixes{years})"

    def __getitem__(self, index: Sequence[int] | Tensor) -> Tracks:
        """Return some of the tracks, by numbers or by a bool tensor ``[g]``."""
        chosen = torch.as_tensor(index)
        chosen = chosen.nonzero()[:, 0] if chosen.dtype == torch.bool else chosen.long()
        wind = self.wind
        if wind is not None:
            parts = wind.split(self.graphs.sizes.tolist())
            wind = torch.cat([parts[i] for i in chosen.tolist()]) if len(chosen) else wind[:0]
        names = tuple(self.names[i] for i in chosen.tolist())
        rest = (self.start[chosen], self.season[chosen], self.positive[chosen])
        return Tracks(self.graphs[chosen], names, *rest, wind)

    def joined(self, other: Tracks) -> Tracks:
        """Return these tracks and others."""
        both = (self.wind, other.wind)
        winds = [v for v in both if v is not None]
        return Tracks(
            Graphs.collate([self.graphs, other.graphs]),
            self.names + other.names,
            torch.cat([self.start, other.start]),
            torch.cat([self.season, other.season]),
            torch.cat([self.positive, other.positive]),
            torch.cat(winds) if len(winds) == len(both) else None,
        )

    @property
    def degrees(self) -> tuple[Tensor, Tensor]:
        """Latitudes and longitudes ``[n]``, float64, in the convention of each track."""
        assert self.graphs.x is not None
        return degrees_of(self.graphs.x, self.positive[self.graphs.batch])

    def before(self, season: int) -> tuple[Tracks, Tracks]:
        """Return the tracks of seasons before this one, and those of it and later."""
        return self[self.season < season], self[self.season >= season]

    def resampled(self, step: float = 6.0, count: int = 25, gap: float = 12.0) -> Tracks:
        """Return the first `count` places of each track at whole multiples of a step of UTC.

        A place between two fixes is that of the geodesic between them. Tracks are divided at longer gaps, and
        the first part that is long enough is taken; a notice says how many tracks have none.

        Parameters
        ----------
        step
            Hours between places.
        count
            Places of a track.
        gap
            Longest time between fixes, in hours, over which places are interpolated.

        Raises
        ------
        ValueError
            If the step or the gap is not positive, the count below 2, or no track is long enough.
        """
        if not step > 0 or not gap > 0 or count < 2:
            raise ValueError(
                f"step and gap must be positive and count at least 2, got {step}, {gap}, {count}."
            )
        assert self.graphs.x is not None
        kept: list[int] = []
        first: list[float] = []
        places: list[Tensor] = []
        hours = self.graphs.pos[:, 0].double().split(self.graphs.sizes.tolist())
        for i, (since, x) in enumerate(zip(hours, self.graphs.unpack(self.graphs.x), strict=True)):
            found = _window(since + self.start[i], x.double(), step, count, gap)
            if found is not None:
                kept.append(i)
                first.append(found[0])
                places.append(found[1])
        if not kept:
            raise ValueError(f"no track lasts {step * (count - 1):g} hours without a gap of {gap:g} hours.")
        if len(kept) < len(self):
            notify(
                f"{len(self) - len(kept)} of {len(self)} tracks last less than {step * (count - 1):g} hours "
                f"without a gap of {gap:g} hours, and are left out."
            )
        chosen = torch.tensor(kept)
        times = step * torch.arange(count, dtype=torch.float32)[:, None]
        x = torch.stack(places).to(self.graphs.x)
        graphs = Graphs.dense(times.expand(len(kept), -1, -1), x)
        graphs = _as_tracks(graphs, self.season[chosen])
        names = tuple(self.names[i] for i in kept)
        start = torch.tensor(first, dtype=torch.float64)
        return Tracks(graphs, names, start, self.season[chosen], self.positive[chosen])

    def dequantised(self, spread: float = 4e-4, seed: int = 0) -> Tracks:
        """Return the tracks with normal noise of a standard deviation, in radians, on every place.

        Places rounded to 0.1 degrees, or 1.7e-3 radians, have no density without it. The default is that of
        their rounding, 0.1 degrees over the root of 12, a little less.

        Raises
        ------
        ValueError
            If the spread is not positive.
        """
        if not spread > 0:
            raise ValueError(f"spread must be positive, got {spread}.")
        x = self.graphs.x
        assert x is not None
        normal = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        wide = _SPHERE.project(x.double())
        moved = _SPHERE.exp(wide, spread * _SPHERE.tangent(wide, normal))
        return replace(self, graphs=self.graphs.replace(x=moved.to(x)))


def read_tracks(path: str | Path) -> Tracks:
    """Read tracks from a CSV table, as IBTrACS distributes, or an .npz file of arrays.

    Times are sorted; of fixes at one time the first is kept, and a notice says how many were left out.
    Tracks of a single fix are left out.

    Parameters
    ----------
    path
        The file. Longitudes may be in any convention, and differ between tracks.

    Raises
    ------
    ValueError
        If it holds no tracks, or something that cannot be read.
    """
    path = Path(path)
    if path.suffix == ".npz":
        return tracks_of(table_of_npz(path), path.name)
    return tracks_of(table_of_text(path.read_text(encoding="utf-8"), path.name), path.name)


def tracks_of(table: TrackTable, name: str) -> Tracks:
    """Return the tracks of a table; the name of its file is for messages."""
    return ordered_tracks(table, name)[0]


def ordered_tracks(table: TrackTable, name: str) -> tuple[Tracks, NDArray[np.int64]]:
    """Return the tracks of a table, and the fix of the table that each of their nodes is, ``[n]``.

    Places that are NaN in the table are NaN; of fixes at one time, the first that has a place is kept.

    Raises
    ------
    ValueError
        If there is no track of two fixes.
    """
    order = np.lexsort((np.isnan(table.latitude), table.hours, table.track))
    track, hours = table.track[order], table.hours[order]
    same = np.r_[False, (np.diff(track) == 0) & (np.diff(hours) < _HOUR)]
    counts = np.bincount(track[~same], minlength=len(table.names))
    keep = ~same & (counts[track] > 1)
    if int((~keep).sum()):
        notify(
            f"{name}: {int(same.sum())} fixes at the time of another and "
            f"{int((counts == 1).sum())} tracks of one fix are left out."
        )
    order, track, hours = order[keep], track[keep], hours[keep]
    used, number, sizes = np.unique(track, return_inverse=True, return_counts=True)
    if not len(used):
        raise ValueError(f"{name} holds no track of two fixes or more.")
    ptr = torch.tensor(np.r_[0, sizes.cumsum()])
    first = hours[ptr[:-1].numpy()]
    x = torch.tensor(unit_vectors(table.latitude[order], table.longitude[order])).float()
    # One fix beyond 180 tells the convention of its track.
    beyond = np.zeros(len(used), dtype=bool)
    np.logical_or.at(beyond, number, table.longitude[order] > 180)
    season = torch.tensor(table.season[used])
    since = torch.tensor(hours - first[number]).float()[:, None]
    graphs = _as_tracks(Graphs(since, x, ptr), season)
    names = tuple(table.names[i] for i in used)
    wind = torch.tensor(table.wind[order]).float()
    return Tracks(graphs, names, torch.tensor(first), season, torch.tensor(beyond), wind), order


def write_tracks(path: str | Path, tracks: Tracks, draws: Sequence[Graphs] | None = None) -> Path:
    """Write tracks, or draws of them, as a CSV table, whole or not at all, and return its path.

    Columns are track, season, draw (from 0, if there are draws), time in UTC, lat and lon in degrees, in the
    convention of each track.

    Parameters
    ----------
    path
        The file.
    tracks
        The tracks; with draws their names, times and conventions.
    draws
        Completed graphs, such as `noisefold.sample.Completion.draws`.

    Raises
    ------
    ValueError
        If a draw has other graphs than the tracks.
    """
    path = Path(path)
    for draw in draws or ():
        if draw.sizes.tolist() != tracks.graphs.sizes.tolist():
            raise ValueError(f"draws must have the {len(tracks)} tracks' numbers of fixes, got {draw!r}.")
    batch = tracks.graphs.batch
    hours = tracks.start[batch] + tracks.graphs.pos[:, 0].double()
    stamps = (hours * 3600).round().long().numpy().astype("datetime64[s]")
    with staged(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["track", "season", *(["draw"] if draws is not None else []), "time", "lat", "lon"])
        for k, graphs in enumerate([tracks.graphs] if draws is None else draws):
            assert graphs.x is not None
            latitude, longitude = degrees_of(graphs.x, tracks.positive[batch])
            for i, graph in enumerate(batch.tolist()):
                number = [] if draws is None else [k]
                when = str(stamps[i]).replace("T", " ")
                place = [f"{latitude[i]:.4f}", f"{longitude[i]:.4f}"]
                writer.writerow([tracks.names[graph], int(tracks.season[graph]), *number, when, *place])
    return path


def degrees_of(x: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """Return latitudes and longitudes, these in [0, 360) where `positive` says so, else in [-180, 180)."""
    latitude, longitude = (torch.from_numpy(v) for v in latitude_longitude(x.double().numpy()))
    lowest = torch.where(positive, 0.0, -180.0).double()
    return latitude, (longitude - lowest) % 360.0 + lowest


def _as_tracks(graphs: Graphs, season: Tensor) -> Graphs:
    """Return graphs whose modality is that of tracks, of which those of a season are held out together."""
    return graphs.replace(
        modality=FunctionSamples(outputs="sphere"), feature_names=("x", "y", "z"), group=season
    )


def _window(hours: Tensor, x: Tensor, step: float, count: int, gap: float) -> tuple[float, Tensor] | None:
    """Return the start and the places of the first part of a track that is long enough, or None."""
    ends = (hours.diff() > gap + _HOUR).nonzero()[:, 0].tolist()
    for low, high in zip([0, *(e + 1 for e in ends)], [*(e + 1 for e in ends), len(hours)], strict=True):
        t, places = hours[low:high], x[low:high]
        begin = step * np.ceil((float(t[0]) - _HOUR) / step)
        wanted = begin + step * torch.arange(count, dtype=torch.float64)
        if float(wanted[-1]) > float(t[-1]) + _HOUR or len(t) < 2:
            continue
        after = torch.searchsorted(t, wanted - _HOUR).clamp(max=len(t) - 1)
        before = torch.where((t[after] - wanted).abs() <= _HOUR, after, (after - 1).clamp(min=0))
        span = (t[after] - t[before]).clamp(min=1e-9)
        share = torch.where(before == after, torch.zeros_like(span), (wanted - t[before]) / span)
        whole = _SPHERE.log(places[before], places[after])
        return float(begin), _SPHERE.exp(_SPHERE.project(places[before]), share[:, None] * whole)
    return None
