"""Fields and stations of the earth on the command line: completed and sampled in the file's own names."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs
    from noisefold.model import Model

__all__ = ["complete_earth", "earth_of", "grid_of_samples"]

_SAME_GRID = 0.9  # share of places with values that must be places of the training data


def earth_of(run: Path, data: str, mask: str | None = None, missing: bool = True) -> Graphs | None:
    """Return the graphs of a file of the earth, read as those of the run were, or None if it is no such file.

    Raises
    ------
    ValueError
        If it cannot be read.
    """
    from dataclasses import replace

    from noisefold.data import load
    from noisefold.data.earth.netcdf import ENDINGS, is_gridded
    from noisefold.data.earth.together import on_earth
    from noisefold.data.formats.compressed import ending_of
    from noisefold.data.source import DataSource
    from noisefold.runs import Run

    path, source = Path(data), Run(run).source() or DataSource(data)
    table = ending_of(path)[0] in (".csv", ".tsv", ".parquet") and path.is_file() and source.pos is None
    gridded = is_gridded(path) or ending_of(path)[0] in ENDINGS
    if not gridded and not (table and on_earth(load(path, missing=True))):
        return None
    source = source if mask is None else replace(source, mask=mask)
    return source.earth(data, missing=missing)


def complete_earth(
    model: Model, run: Path, graphs: Graphs, data: str, out: Path, stations: int = 0, **how: Any
) -> str:
    """Draw what is missing of a file of the earth; what was done, in words.

    Parameters
    ----------
    model, run
        What draws, and its folder.
    graphs, data
        What the file holds, NaN where it is missing, and the file.
    out
        The file to write.
    stations
        How many places to name that would reduce the variance most.
    **how
        As of `noisefold.Model.complete`.

    Raises
    ------
    ValueError
        If nothing is missing, or the draws cannot be written so.
    """
    import torch

    from noisefold.data.earth.write import check_draws, write_draws
    from noisefold.data.formats.compressed import ending_of

    count = how["draws"]
    tables = [ending_of(p)[0] in (".csv", ".tsv", ".parquet") for p in (Path(data), out)]
    like = data if tables[0] == tables[1] else None
    check_draws(out, graphs, count, Path(data), like)
    if stations * graphs.features >= max(count - 1, 1):
        raise ValueError(
            f"--draws must be more than {stations * graphs.features + 1} for --next-stations {stations}, got "
            f"{count}."
        )
    graphs, left = model.matched(graphs), ""
    if not tables[0]:  # whose rows are places that somebody asked for
        graphs, left = _seen(run, graphs)
    assert graphs.x is not None
    known = ~graphs.x.isnan()
    if bool(known.all()):
        raise ValueError(f"{data}: nothing is missing; mark what is to be drawn by NaN.")
    lacking = torch.zeros(len(graphs), dtype=torch.bool).index_put(
        (graphs.batch,), ~known.all(1), accumulate=True
    )
    some, of = graphs[lacking], lacking[graphs.batch]
    done = model.complete(some, known[of], **how)
    values = graphs.x[None].repeat(count, 1, 1)
    values[:, of] = done.values
    write_draws(out, graphs, values, like=like)
    said = f"{int((~known).sum()):,} values drawn, {count} times; in {out}"
    return f"{said}{left}{_placed(some, done, stations) if stations else ''}"


def _placed(graphs: Graphs, done: Any, count: int) -> str:
    """Where the next stations reduce the variance most, in words."""
    from noisefold.eval.placement import next_places
    from noisefold.geometry.geographic import latitude_longitude

    lines = []
    first = slice(0, int(graphs.ptr[1]))
    plan = next_places(done.values[:, first], candidates=~done.known[first].all(1), count=count)
    lat, lon = latitude_longitude(graphs.pos[first][plan.nodes].double().numpy())
    for a, b, share in zip(lat.tolist(), lon.tolist(), plan.remaining.tolist(), strict=True):
        lines.append(f"\n    latitude {a:.3f}, longitude {b:.3f}: {share:.0%} of the variance remains")
    return "\nnext stations" + "".join(lines)


def _seen(run: Path, graphs: Graphs) -> tuple[Graphs, str]:
    """Return graphs without the places at which neither they nor the data of the run have any value.

    Such are land, where the field is one of the sea. Data of another grid, or no longer there, say nothing.
    """
    import numpy as np

    from noisefold.geometry.patches import take
    from noisefold.runs import Run

    assert graphs.x is not None
    places, place = np.unique(_places(graphs), return_inverse=True)
    place = place.reshape(-1)
    valued = np.bincount(place, ~graphs.x.isnan().all(1).numpy()) > 0
    source = Run(run).source()
    if valued.all() or source is None or not Path(source.source).exists():
        return graphs, ""
    try:
        learned = np.isin(places, _places(source.load()))
    except (OSError, ValueError):
        return graphs, ""
    keep = (learned | valued)[place]
    if keep.all() or not learned[valued].mean() > _SAME_GRID:
        return graphs, ""
    ends = graphs.ptr.tolist()
    rows = [np.flatnonzero(keep[a:b]) + a for a, b in itertools.pairwise(ends)]
    said = f"; {int((~(learned | valued)).sum()):,} places where no data have any value are left missing"
    return take(graphs, rows), said


def _places(graphs: Graphs) -> Any:
    """Return a whole number for each node, which is equal for equal positions."""
    import numpy as np

    pos = np.round(graphs.pos.double().numpy() * 2**20).astype(np.int64)
    return (pos[:, 0] << 42) + (pos[:, 1] << 21) + pos[:, 2]


def grid_of_samples(model: Model, graphs: Graphs) -> Graphs:
    """Return the places of a file on which a model draws, with the model's variables and without times.

    Files of which all times have the same places give these once, of each level.
    """
    import torch

    from noisefold.data.earth.together import coordinates_of

    coordinates = coordinates_of(graphs)
    assert coordinates is not None
    if graphs.uniform is not None:
        pos = graphs.pos.reshape(len(graphs), -1, 3)
        if bool((pos == pos[0]).all()):
            levels = 1 if graphs.label is None else len(set(graphs.label.tolist()))
            graphs = graphs[:levels].replace(time=None, group=None)
    names = model.feature_names
    x = torch.zeros(graphs.num_nodes, len(names)) if names and names != graphs.feature_names else graphs.x
    return graphs.replace(x=x, feature_names=names or graphs.feature_names)
