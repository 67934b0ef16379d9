"""Images: values of pixels are generated on their lattice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from noisefold.data.images.canvas import Canvas, shapes_of
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.domains.domain import Domain, SampleFor
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.field_scores import score_fields
from noisefold.eval.score_table import Scores
from noisefold.geometry.chunks import node_chunks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.summary import DataSummary
from noisefold.nn.dit.network import DiT
from noisefold.nn.dit.patch_schedule import PatchSchedule
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.target import Target
from noisefold.noise.variable import Features, Variable
from noisefold.train.device import fast_precision
from noisefold.train.settings import Training

__all__ = ["Images"]

_PATCHES = (2, 4, 8, 16, 32)
_TOKENS = 81  # of an image; twice the side of a patch is a quarter of the tokens
_ROWS = 1 << 22  # pixels that are counted together


@dataclass(frozen=True)
class Images(Domain):
    """Images, by `noisefold.nn.DiT`."""

    name: ClassVar[str] = "images"

    def fits(self, data: Graphs, variable: Variable[Any] | None) -> bool:
        """Return whether the data were read as images, and values of pixels are generated."""
        generated = variable is None or variable.positions_given
        return generated and isinstance(data.modality, Pictures)

    def recipe(self, data: Graphs, request: Request) -> Recipe:
        """Return a recipe for images of any sizes; positions stay in pixels."""
        channels = data.features
        if request.transform is None:
            mean, scale = _moments(data)
            scaling = Scaling((0.0, 0.0), 1.0, mean, scale)
        else:
            fitted = Scaling.fit(data, transform=request.transform)
            scaling = Scaling((0.0, 0.0), 1.0, fitted.x_mean, fitted.x_scale)
            channels = len(fitted.x_mean)
        arguments: dict[str, Any] = {
            "features": channels * (2 if request.for_completion else 1),
            "out_dim": channels,
            "width": 64 if channels == 1 else 96,
            "blocks": 4,
            "heads": 2 if channels == 1 else 3,
            "classes": len(data.classes) if data.label is not None else 0,
            "patches": PatchSchedule((_patch(data),)),
        }
        training = Training(
            batch=min(64, len(data)), lr=3e-3, warmup=50, precision=fast_precision(), seed=request.seed
        )
        net = DiT(**{**arguments, **request.net})
        summary = DataSummary.of(data, scaling, Canvas.of(data))
        return planned(net, Gaussian(), Target("velocity"), Features(), training, summary, request)

    def score(
        self,
        sample_for: SampleFor,
        test: Graphs,
        train: Graphs | None,
        *,
        draws: int | None,
        metrics: Sequence[str] | None,
        seed: int,
        **sampling: Any,
    ) -> Scores:
        """Compare as many samples as there are test images, of their sizes and classes."""
        generated = sample_for(test, draws, seed=seed, **{"like": test, **sampling})
        return score_fields(generated, test, train, metrics=metrics, seed=seed)


def _patch(images: Graphs) -> int:
    """Return the side of a patch that makes few enough tokens of the largest image."""
    height, width = max(shapes_of(images), key=lambda shape: shape[0] * shape[1])
    fits = (p for p in _PATCHES if -(-height // p) * -(-width // p) <= _TOKENS)
    return next(fits, _PATCHES[-1])


def _moments(images: Graphs) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of each channel; of one that is constant, 1."""
    count = torch.zeros(images.features, 256, dtype=torch.float64)
    if isinstance(images, PixelGraphs) and images.pixels.dtype == torch.uint8:
        for rows in images.pixels.cpu().split(_ROWS):
            for c in range(images.features):
                count[c] += torch.bincount(rows[:, c].int(), minlength=256)
        level = torch.arange(256, dtype=torch.float64)
        total = count.sum(1)
        mean = (count @ level) / total
        square = (count @ level.square()) / total
    else:
        sums = torch.zeros(2, images.features, dtype=torch.float64)
        for part in node_chunks(images):
            assert part.x is not None
            values = part.x.double().cpu()
            sums += torch.stack([values.sum(0), values.square().sum(0)])
        mean, square = sums / images.num_nodes
    spread = (square - mean.square()).clamp(min=0).sqrt().tolist()
    return tuple(mean.tolist()), tuple(s if s > 1e-6 else 1.0 for s in spread)
