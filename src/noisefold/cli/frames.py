"""Files that give the positions on which features are generated or completed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs
    from noisefold.model import Model

__all__ = ["check_out", "frame_of"]


def check_out(source: Path, out: Path, endings: tuple[str, ...]) -> None:
    """Refuse a target before any work is done.

    Raises
    ------
    ValueError
        If its ending is not among those, or it is the source.
    OSError
        If it cannot be written there.
    """
    from noisefold.data.save import check_folder

    if out.suffix.lower() not in endings:
        raise ValueError(f"{out}: the result of {source.name} must end with {' or '.join(endings)}.")
    if out.is_dir():
        raise FileExistsError(f"{out}: this is a folder; name a file.")
    if source.exists() and out.exists() and source.samefile(out):
        raise ValueError(f"--out {out} is the input itself; name another file.")
    check_folder(out)


def frame_of(model: Model, run: Path, like: str, out: Path) -> Graphs:
    """Return the graphs on whose positions features are to be generated, read as those of the run were.

    Raises
    ------
    ValueError
        If positions have another dimension than the model's.
    """
    from dataclasses import replace

    from noisefold.runs import Run

    source = Run(run).reading(like)
    if not source.is_tissue:
        frame = source.load()
    else:
        check_out(Path(like), out, (".h5ad", ".npz"))
        frame = replace(source, genes=None).tissue(missing=True).graphs()
    if frame.dim != model.data.dim:
        raise ValueError(
            f"{like} has {frame.dim}-D positions, the model {model.data.dim}-D ones; name others by --pos."
        )
    return frame
