"""Images: values of pixels are generated on their lattice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from noisefold.data.images.canvas import Canvas, shapes_of
from noisefold.data.images.modality import Pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.domains.domain import Domain, ScoredModel
from noisefold.domains.plan import kind_in
from noisefold.domains.recipe import Recipe, Request, planned
from noisefold.eval.image_scores import score_images
from noisefold.eval.score_table import Scores
from noisefold.geometry.chunks import node_chunks
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.selection import spread
from noisefold.geometry.summary import DataSummary
from noisefold.nn.dit.network import DiT
from noisefold.nn.dit.patch_schedule import PatchSchedule
from noisefold.nn.prior.gaussian_residual import GaussianResidual
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams, derive_seed
from noisefold.noise.target import Target
from noisefold.noise.variable import Features, Variable
from noisefold.train.device import fast_precision
from noisefold.train.settings import Training

__all__ = ["Images"]

_PATCHES = (2, 4, 8, 16, 32)
_TOKENS = 81  # of an image; twice the side of a patch is a quarter of the tokens
_BASED = "nn.GaussianResidual"
_MANY = 200  # images from which a covariance is worth its name
_NUMBERS = 1 << 14  # of an image, whose principal components are kept
_RANK, _COLOR_RANK = 48, 256
_CELLS = 91  # the stream of random numbers within cells
_SCORED = 2000  # images, more than which scores do not compare
_ROWS = 1 << 22  # pixels that are counted together


@dataclass(frozen=True)
class Images(Domain):
    """Images, by `noisefold.nn.DiT`; where many have one size, within `noisefold.nn.GaussianResidual`.

    Scored by `noisefold.eval.score_images`.
    """

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
        shapes = Counter(shapes_of(data))
        classes = len(data.classes) if data.label is not None else 0
        based = kind_in(request.changes) in (None, _BASED) and _has_base(data, shapes, channels)
        arguments: dict[str, Any] = {
            "features": channels * (1 + request.for_completion),
            "out_dim": channels,
            "width": 64 if channels == 1 else 96,
            "blocks": 4,
            "heads": 2 if channels == 1 else 3,
            "classes": classes,
            "patches": PatchSchedule((_patch(max(shapes, key=math.prod)),)),
        }
        training = Training(
            batch=min(64, len(data)), lr=3e-3, warmup=50, precision=fast_precision(), seed=request.seed
        )
        net: nn.Module = DiT(**{**arguments, **request.net})
        if based:
            numbers = math.prod(next(iter(shapes)))
            rank = min(_RANK if channels == 1 or classes else _COLOR_RANK, numbers * channels)
            net = GaussianResidual(net, channels, numbers, rank=rank, classes=classes)
        summary = DataSummary.of(data, scaling, Canvas.of(data))
        return planned(net, Gaussian(), Target("velocity"), Features(), training, summary, request)

    def dequantised(self, data: Graphs, seed: int) -> tuple[Graphs, float]:
        r"""Return images with uniform noise within the cell of each level, and the logarithm of its width.

        Values are rounded to the levels first, as in a file. With w the width of a cell and c the numbers of
        an image, :math:`\log p(x + w u) + c \log w`, u uniform in [-1/2, 1/2), is in the mean a lower bound
        of the log-probability of the rounded image.

        Source: Theis, van den Oord and Bethge, A note on the evaluation of generative models (2016),
        https://arxiv.org/abs/1511.01844.
        """
        assert isinstance(data.modality, Pictures)
        assert data.x is not None
        level = data.modality.level
        streams = Streams(derive_seed(seed, _CELLS), range(len(data)))
        noise = streams.uniform(data.sizes, data.features, data.x) - 0.5
        return data.replace(x=((data.x / level).round() + noise) * level), math.log(level)

    def score(
        self,
        model: ScoredModel,
        test: Graphs,
        train: Graphs | None,
        *,
        draws: int | None,
        metrics: Sequence[str] | None,
        seed: int,
        **sampling: Any,
    ) -> Scores:
        """Compare half as many samples as there are test images, at most 2,000, like some of them."""
        count = min(max(len(test) // 2, 1), _SCORED) if draws is None else draws
        like = test[spread(len(test), count)]
        generated = model.sample_for(like, count, seed=seed, **{"like": like, **sampling})
        return score_images(generated, test, train, metrics=metrics, seed=seed)


def _has_base(data: Graphs, shapes: Mapping[tuple[int, int], int], channels: int) -> bool:
    """Return whether a network starts from the data's Gaussian: of many images of one size, not too large."""
    return len(shapes) == 1 and len(data) >= _MANY and math.prod(next(iter(shapes))) * channels <= _NUMBERS


def _patch(shape: tuple[int, int]) -> int:
    """Return the side of a patch that makes few enough tokens of an image."""
    fits = (p for p in _PATCHES if -(-shape[0] // p) * -(-shape[1] // p) <= _TOKENS)
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
