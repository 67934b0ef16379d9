"""Files that give what is not generated: the positions of features, and the sizes of other graphs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs
    from noisefold.model import Model

__all__ = ["frame_of"]


def frame_of(model: Model, run: Path, like: str, out: Path) -> Graphs:
    """Return the graphs that samples are to be like, read as those of the run were.

    Raises
    ------
    ValueError
        If positions have another dimension than the model's.
    """
    from dataclasses import replace

    from noisefold.cli.earth import earth_of, grid_of_samples
    from noisefold.files import check_out
    from noisefold.runs import Run

    source = Run(run).reading(like)
    if (earth := earth_of(run, like, missing=False)) is not None:
        return grid_of_samples(model, earth)
    if not source.is_tissue:
        frame = source.load(missing=model.variable.positions_given)  # what is generated may be lacking
        model.variable.check_given(frame)
    else:
        check_out(out, endings=(".h5ad", ".npz"), source=Path(like))
        frame = replace(source, genes=None).tissue(missing=True).graphs()
    if frame.dim != model.data.dim:
        raise ValueError(
            f"{like} has {frame.dim}-D positions, the model {model.data.dim}-D ones; name others by --pos."
        )
    return frame
