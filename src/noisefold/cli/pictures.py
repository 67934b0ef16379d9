"""``noisefold complete`` of pictures: mean, standard deviation and draws, as pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noisefold.geometry.graphs import Graphs
    from noisefold.model import Model
    from noisefold.sample import Completion

__all__ = ["completed_pictures"]

_STRIP = 6  # draws in a strip


def completed_pictures(model: Model, source: Path, mask: Path | None, out: Path, **how: Any) -> str:
    """Complete pictures and write what was drawn; what was done, in words.

    ======= ==================================================================================================
    ending  what is written
    ======= ==================================================================================================
    .png    a row for each picture: what is given, mean, standard deviation, the first draws
    .npz    ``arr_0`` with every draw of the first picture, then of the next
    none    a folder: mean.png, std.png, draw_000.png, ...; in a folder for each of several pictures
    ======= ==================================================================================================

    Raises
    ------
    ValueError
        If nothing is missing, or pictures cannot be read or written.
    """
    import torch

    from noisefold.data import save
    from noisefold.data.images.masked import as_channels, read_masked
    from noisefold.data.images.write import grid_of, png_bytes
    from noisefold.data.save import check_target
    from noisefold.files import atomic_bytes, check_out, staged
    from noisefold.geometry.graphs import Graphs

    check_out(out, source=source, folder=False)
    images, known = read_masked(source, mask)
    modality: Any = model.data.frames
    graphs = as_channels(images, modality.modality.channels)
    check_target(out, len(graphs) * how["draws"], graphs)
    if bool(known.all()):
        raise ValueError(f"{source}: nothing is missing; make it transparent, or name it by --mask.")
    done = model.complete(graphs, known, **how)
    told = f"{int((~known).sum()):,} pixels drawn, {len(done)} times; in {out}"
    if out.suffix.lower() == ".npz":
        save(Graphs.collate([draw[i] for i in range(len(graphs)) for draw in done.draws]), out)
        return told
    shown = _shown(done, graphs, torch.nan if len(done) < 2 else 0.0)
    if out.suffix.lower() == ".png":
        rows = [[row[name] for name in list(row)[: 3 + _STRIP]] for row in shown]
        atomic_bytes(out, png_bytes(grid_of([image for row in rows for image in row], len(rows[0]))))
        return told
    with staged(out) as folder:
        for i, row in enumerate(shown):
            place = folder if len(shown) == 1 else folder / f"{i:04d}"
            place.mkdir(parents=True)
            for name, image in list(row.items())[1:]:
                (place / f"{name}.png").write_bytes(png_bytes(image))
    return told


def _shown(done: Completion, graphs: Graphs, spread: float) -> list[dict[str, Any]]:
    """Pictures of each image by name: what is given, mean, standard deviation, draws."""
    import torch

    from noisefold.data.images.write import arrays_of

    def arrays(x: Any) -> list[Any]:
        return arrays_of(graphs.replace(x=x))

    std = torch.zeros_like(done.mean) if len(done) < 2 else done.std.nan_to_num(spread)
    sets = {
        "given": arrays(torch.where(done.known, done.mean, 0.0)),
        "mean": arrays(done.mean),
        "std": arrays(std),
        **{f"draw_{j:03d}": arrays(draw.x) for j, draw in enumerate(done.draws)},
    }
    return [{name: of[i] for name, of in sets.items()} for i in range(len(graphs))]
