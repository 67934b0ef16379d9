"""Tracks on the command line: blank places of a table of fixes are drawn, in the columns that it has."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisefold.model import Model

__all__ = ["completed_tracks", "draws_tracks"]


def draws_tracks(model: Model, data: Path) -> bool:
    """Return whether a model of values on the sphere is asked about a table of tracks."""
    from noisefold.data.functions.track_draws import is_track_file
    from noisefold.noise import Riemannian

    on_sphere = isinstance(model.path, Riemannian) and model.variable.positions_given
    return on_sphere and is_track_file(data)


def completed_tracks(model: Model, data: Path, out: Path, **how: Any) -> str:
    """Draw the missing places of a table of tracks; what was done, in words.

    Raises
    ------
    ValueError
        If nothing is missing, or the table cannot be written there.
    """
    import torch

    from noisefold.data.functions.track_draws import IncompleteTracks
    from noisefold.files import check_out

    check_out(out, endings=(".csv",), source=data)
    found = IncompleteTracks.read(data)
    graphs = found.tracks.graphs
    assert graphs.x is not None
    known = ~graphs.x.isnan()
    if bool(known.all()):
        raise ValueError(f"{data}: nothing is missing; leave the place blank in the rows to be drawn.")
    lacking = torch.zeros(len(graphs), dtype=torch.bool)
    lacking[graphs.batch[~known.all(1)]] = True
    of = lacking[graphs.batch]
    done = model.complete(graphs[lacking], known[of], **how)
    values = graphs.x[None].repeat(len(done), 1, 1)
    values[:, of] = done.values.to(values)
    found.write(out, values)
    places, tracks = int((~known.all(1)).sum()), int(lacking.sum())
    return f"{places:,} places of {tracks:,} tracks drawn, {len(done)} times; in {out}"
