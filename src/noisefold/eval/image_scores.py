r"""The table of scores of generated images, with the reference rows that give its numbers a meaning.

Beside the model stand, scored against the same test images,

- ``real``: other test images, as many as were generated: what a perfect model would reach at this number;
- ``train``: random training images, what a model that only remembers would reach;
- ``copies``: a tenth as many training images, each ten times;
- ``Gaussian``: draws of one Gaussian per class, or of all, with the training images' mean and principal
  components: what needs no network;
- ``blur``: other test images, blurred; ``noise``: normal pixels of the data's mean and deviation.

Features are those of a small classifier for digits, else of random convolutions; the table's note says which.
Everything is computed offline. Intervals are over images by the delete-half jackknife (`half_sampled`), of
shares Wilson's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from noisefold.arguments import seed_of
from noisefold.eval import image_metrics as sets
from noisefold.eval.cloud_metrics import one_nna
from noisefold.eval.image_features import (
    DigitClassifier,
    ImageFeatures,
    RandomFeatures,
    digit_classifier,
    features_of,
    images_of_digits,
)
from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled, share_score
from noisefold.geometry import Graphs
from noisefold.geometry.lattice import lattices
from noisefold.geometry.principal_components import principal_components

__all__ = ["IMAGE_METRICS", "score_images"]

_SMALLEST = 20
_MOST = 2000
_REFERENCES = ("real", "train", "copies", "Gaussian", "blur", "noise")
_COMPONENTS = 48
_COPIES = 10
_RARE = 0.01  # share of test images that count as memorised, by definition
_METRICS = (
    Metric("FD", "lower", "Frechet distance of features; compare it with the row real, at the same number."),
    Metric("KD", "lower", "Squared MMD of features with a cubic kernel, unbiased.", bounds=(-1e30, 1e30)),
    Metric(
        "accuracy",
        "higher",
        "Share of images that a classifier takes for the class asked for.",
        bounds=(0, 1),
    ),
    Metric("precision", "higher", "Share of images within a ball about some test image.", bounds=(0, 1)),
    Metric("recall", "higher", "Share of test images within a ball about some image.", bounds=(0, 1)),
    Metric("density", 1.0, "Balls about test images that hold an image, by their expected number."),
    Metric("coverage", "higher", "Share of balls about test images that hold an image.", bounds=(0, 1)),
    Metric(
        "1-NNA", 0.5, "Accuracy of a nearest neighbour that tells images from test images.", bounds=(0, 1)
    ),
    Metric(
        "memorised",
        _RARE,
        "Share of images as near to a training image as 1 % of test images are.",
        bounds=(0, 1),
    ),
)
IMAGE_METRICS = tuple(metric.name for metric in _METRICS)
"""Names of the metrics of images."""
_OF_BALLS = ("precision", "recall", "density", "coverage")


def score_images(
    generated: Graphs | Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None = None,
    *,
    metrics: Sequence[str] | None = None,
    features: ImageFeatures | None = None,
    depth: float = 255.0,
    resamples: int = 100,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Score generated images against test images, beside the references that say what a number is worth.

    Every row compares as many images with as many test images: at most half of these, so that others are left
    to be scored as ``real``, and at most 2,000.

    Parameters
    ----------
    generated, test, train
        Images of one size as graphs (`noisefold.geometry.lattice`), at least 20 generated and 40 test images;
        without `train` its rows and "memorised" are left out. Several generators come as a mapping from the
        names of their rows; one alone is called "model".
    metrics
        Names out of `IMAGE_METRICS`; None: all that apply.
    features
        A map from images ``[k, c, h, w]`` in [0, 1] to features ``[k, f]`` with a `name`; None: the packaged
        classifier for grey images of the classes 0 to 9, else `RandomFeatures`. "accuracy" needs the
        classifier and labels.
    depth
        The value that stands for white.
    resamples
        Random halves for each interval; 0 gives no intervals but those of shares.
    seed
        Of every choice: which images, draws of references and halves.
    progress
        Called as ``progress(done, rows, name)`` before each row.

    Returns
    -------
    Scores
        Rows model (or the names given), real, train, copies, Gaussian, blur, noise.

    Raises
    ------
    ValueError
        If a metric is unknown or does not apply, or the sets do not hold enough images of one size.
    """
    models = {"model": generated} if isinstance(generated, Graphs) else dict(generated)
    if not models or any(name in _REFERENCES for name in models):
        raise ValueError(f"generated must name rows other than {', '.join(_REFERENCES)}; got {list(models)}.")
    generator = torch.Generator().manual_seed(seed_of(seed))
    made = {n: _images(_asked(n), g, depth) for n, g in models.items()}
    seen = _images("test", test, depth)
    known = None if train is None else _images("train", train, depth)
    shape = seen.values.shape[1:]
    for name, images in [*made.items(), ("train", known)]:
        if images is not None and images.values.shape[1:] != shape:
            raise ValueError(
                f"{_asked(name)} must hold images of shape {list(shape)}, as test does, got "
                f"{list(images.values.shape[1:])}."
            )
    size = min(*(len(images) for images in made.values()), len(seen) // 2, _MOST)
    if size < _SMALLEST:
        raise ValueError(
            f"score_images needs {_SMALLEST} generated and {2 * _SMALLEST} test images at least, got "
            f"{min(len(images) for images in made.values())} and {len(seen)}."
        )
    if features is None:
        digits = images_of_digits(seen.values, test.classes)
        features = digit_classifier() if digits else RandomFeatures(shape[0])
    chosen = _applicable(metrics, features, seen, known)
    order = torch.randperm(len(seen), generator=generator)
    bench = _Bench(seen.take(order[:size]), seen, known, features)
    text = f"{size} generated images against {size} test images."
    rows = {name: (text, images.some(size, generator)) for name, images in made.items()}
    rows["real"] = (f"{size} other test images: perfection.", seen.take(order[-size:]))
    if known is not None:
        rows["train"] = (f"{min(size, len(known))} training images: memory.", known.some(size, generator))
        few = known.some(-(-size // _COPIES), generator)
        again = torch.arange(size) % len(few)
        rows["copies"] = (f"{len(few)} training images, each {_COPIES} times.", few.take(again))
        rows["Gaussian"] = (
            "draws of Gaussians with the training images' mean and 48 principal components"
            f"{', by class' if known.label is not None else ''}, cut to black and white.",
            _gaussian(known, rows["real"][1].label, size, generator),
        )
    rows["blur"] = ("other test images, blurred over 3 x 3 pixels.", _blurred(rows["real"][1]))
    noise = torch.randn((size, *shape), generator=generator) * seen.values.std() + seen.values.mean()
    rows["noise"] = (
        "normal pixels with the data's mean and deviation.",
        _Images(noise.clamp(0, 1), rows["real"][1].label),
    )
    table = {}
    for done, (name, (_, images)) in enumerate(rows.items()):
        if progress is not None:
            progress(done, len(rows), name)
        table[name] = _Row(bench, images).scores(chosen, resamples, seed)
    note = f"Features: {features.name}. FD falls with the number of images, here {size}."
    about = {name: text for name, (text, _) in rows.items()}
    return Scores(tuple(m for m in _METRICS if m.name in chosen), table, about, note)


def _asked(name: str) -> str:
    return "generated" if name == "model" else name


@dataclass(frozen=True, eq=False)
class _Images:
    """Images ``[k, c, h, w]`` in [0, 1], and their classes ``[k]`` or None."""

    values: Tensor
    label: Tensor | None

    def __len__(self) -> int:
        return len(self.values)

    def take(self, which: Tensor) -> _Images:
        return _Images(self.values[which], None if self.label is None else self.label[which])

    def some(self, count: int, generator: torch.Generator) -> _Images:
        return self.take(torch.randperm(len(self), generator=generator)[:count])


def _images(name: str, graphs: Graphs, depth: float) -> _Images:
    found = lattices(graphs)
    if len(found) != 1 or graphs.x is None:
        sizes = ", ".join(f"{part.height} x {part.width}" for part in found)
        raise ValueError(f"{name} must hold images of one size with their pixels, got {sizes or 'none'}.")
    values = found[0].images(graphs.x.detach().float()).cpu() / depth
    if not bool(values.isfinite().all()):
        raise ValueError(f"{name} holds pixels that are NaN or infinite; leave these images out.")
    label = graphs.label
    return _Images(values.clamp(0, 1), None if label is None or bool((label < 0).any()) else label.cpu())


def _gaussian(known: _Images, label: Tensor | None, count: int, generator: torch.Generator) -> _Images:
    """Draw images of a Gaussian for each class, of the classes given, or of one for all."""
    shape, size = known.values.shape[1:], known.values[0].numel()
    if known.label is None or label is None:
        label = torch.zeros(count, dtype=torch.long)
        groups = {0: known.values.flatten(1)}
    else:
        groups = {k: known.values[known.label == k].flatten(1) for k in known.label.unique().tolist()}
    out = torch.zeros(len(label), size)
    for k, values in groups.items():
        own = (label == k).nonzero()[:, 0]
        mean, rank = values.mean(0), min(_COMPONENTS, len(values), size)
        vectors, variances, _ = principal_components(values - mean, rank)
        drawn = torch.randn(len(own), rank, generator=generator).double() * variances.sqrt()
        out[own] = (mean + drawn @ vectors.T).float()
    return _Images(out.view(-1, *shape).clamp(0, 1), None if known.label is None else label)


def _blurred(images: _Images) -> _Images:
    values = functional.avg_pool2d(images.values, 3, stride=1, padding=1, count_include_pad=False)
    return _Images(values, images.label)


class _Bench:
    """What all rows are compared with."""

    def __init__(self, test: _Images, seen: _Images, known: _Images | None, features: ImageFeatures) -> None:
        self.features, self.known = features, known
        raw = features_of(test.values, features)
        self.mean, self.scale = raw.mean(0), raw.std(0)
        self.scale = self.scale.clamp(min=float(self.scale.mean()) / 10)  # of filters that hardly ever answer
        self.test = (raw - self.mean) / self.scale
        self.seen = seen

    def of(self, images: _Images) -> Tensor:
        """Return the features of images in standard deviations of the test images."""
        return (features_of(images.values, self.features) - self.mean) / self.scale

    @cached_property
    def flat(self) -> Tensor:
        """Training images as rows."""
        assert self.known is not None
        return self.known.values.flatten(1)

    @cached_property
    def close(self) -> float:
        """Distance to the nearest training image that 1 % of the test images fall below."""
        some = self.seen.values[:_MOST].flatten(1)
        return float(sets.nearest_distance(some, self.flat).quantile(_RARE))


class _Row:
    """One row of the table."""

    def __init__(self, bench: _Bench, images: _Images) -> None:
        self.bench, self.images = bench, images
        self.features = bench.of(images)
        self.size = min(len(self.features), len(bench.test))

    def scores(self, metrics: Sequence[str], resamples: int, seed: int) -> dict[str, Score]:
        """Return the scores by metric."""
        return {name: self._score(name, resamples, seed) for name in metrics}

    def _score(self, name: str, resamples: int, seed: int) -> Score:
        if name == "accuracy":
            classifier = self.bench.features
            assert isinstance(classifier, DigitClassifier)
            assert self.images.label is not None
            raw = self.features * self.bench.scale + self.bench.mean
            with torch.no_grad():
                found = classifier.logits(raw).argmax(1)
            return share_score((found == self.images.label).tolist())
        if name == "memorised":
            near = sets.nearest_distance(self.images.values.flatten(1), self.bench.flat)
            return share_score((near < self.bench.close).tolist())
        a, b = self.features[: self.size], self.bench.test[: self.size]
        bounds = next(metric.bounds for metric in _METRICS if metric.name == name)
        how = {"resamples": resamples, "seed": seed, "bounds": bounds}
        if name == "FD":
            return half_sampled(lambda i, j: sets.frechet_distance(a[i], b[j]), (self.size,) * 2, **how)  # type: ignore[arg-type]
        tables = self._kernels if name == "KD" else self._distances

        def statistic(i: Tensor, j: Tensor) -> float:
            aa, ab, bb = tables
            part = aa[i][:, i], ab[i][:, j], bb[j][:, j]
            if name == "KD":
                return sets.kernel_distance(*part)
            return one_nna(*part) if name == "1-NNA" else sets.balls(*part)[name]

        return half_sampled(statistic, (self.size,) * 2, **how)  # type: ignore[arg-type]

    @cached_property
    def _distances(self) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self.features[: self.size], self.bench.test[: self.size]
        return torch.cdist(a, a), torch.cdist(a, b), torch.cdist(b, b)

    @cached_property
    def _kernels(self) -> tuple[Tensor, Tensor, Tensor]:
        a, b = self.features[: self.size].double(), self.bench.test[: self.size].double()
        return tuple((p @ q.T / p.shape[1] + 1) ** 3 for p, q in ((a, a), (a, b), (b, b)))  # type: ignore[return-value]


def _applicable(
    metrics: Sequence[str] | None, features: ImageFeatures, test: _Images, known: _Images | None
) -> tuple[str, ...]:
    lacking = {}
    if not isinstance(features, DigitClassifier) or test.label is None:
        lacking["accuracy"] = "a classifier of these images and their labels"
    if known is None:
        lacking["memorised"] = "training images"
    if metrics is None:
        return tuple(name for name in IMAGE_METRICS if name not in lacking)
    chosen = chosen_metrics(metrics, IMAGE_METRICS)
    for name in chosen:
        if name in lacking:
            raise ValueError(f"metrics has {name!r}, which needs {lacking[name]}; leave it out.")
    return chosen
