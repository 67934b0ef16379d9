"""Sections of a report on a model of images: samples by class, copies, the path from noise, inpainting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from noisefold.data.images.canvas import shapes_of
from noisefold.data.images.masks import known_pixels
from noisefold.data.images.modality import Pictures
from noisefold.data.images.write import arrays_of
from noisefold.eval.image_scores import score_images
from noisefold.eval.score_table import Scores
from noisefold.geometry.display import pick
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.selection import spread
from noisefold.report.data.content import Content
from noisefold.report.data.summary import counted, listed
from noisefold.report.data.trajectory import evenly, sample_trajectory
from noisefold.report.figures.images import image_path_figure, image_rows
from noisefold.report.figures.style import LIGHT, Paper, png
from noisefold.report.page.blocks import Block, Interactive, Picture, Section
from noisefold.report.page.sections import drawn_samples
from noisefold.sample.completion import Completion
from noisefold.sample.defaults import completes

__all__ = ["ImagePictures", "nearest_images"]

_ROWS, _COLUMNS = 10, 8  # of a gallery
_PAIRS = 10
_SEARCHED = 5000  # training images among which the nearest are found
_RARE = 0.01  # of test images, which count as near to training images by definition
_MOMENTS, _STRIP = 21, 7
_FILLED, _DRAWS, _DRAWN = 5, 16, 3  # images that are completed, draws of each, and those that are shown
_SCORED, _COMPARED = 40, 20  # test images and samples that scores need
_COLORS = 64
_HOLE = (86, 180, 233)  # colour of pixels that were hidden
Array = NDArray[Any]


class ImagePictures:
    """What a report shows of a model of images."""

    unit = "pixels an image"

    def title(self, content: Content) -> str:
        """Return what the model generates."""
        shapes = sorted(set(shapes_of(content.shown)))
        size = f"{shapes[0][0]} x {shapes[0][1]} " if len(shapes) == 1 else ""
        return f"{size}{_modality(content.shown).channels} images"

    def completed(self, content: Content) -> Content:
        """Return the content with samples, scores, the path from noise, and inpainted test images."""
        model, test, seed = content.model, content.test, content.seed
        samples, scores, trajectory = drawn_samples(content), content.scores, content.trajectory
        if scores is None and test is not None:
            scores = _scored({"model": samples, **content.others}, test, content.train, seed)
        if trajectory is None:
            trajectory = sample_trajectory(model, seed=seed)
        completion = content.completion
        able = completes(model.path, model.variable, model.for_completion)
        if completion is None and test is not None and able:
            some = test[pick(test, _FILLED)]
            how = {"draws": _DRAWS, "steps": min(content.steps, 20), "seed": seed}
            completion = model.complete(some, _holes(some), **how)
        return replace(content, samples=samples, scores=scores, trajectory=trajectory, completion=completion)

    def sections(self, content: Content) -> list[Section]:
        """Return the sections of samples, nearest training images, the path from noise, and inpainting."""
        return [
            _gallery(content),
            *([] if content.train is None else _copies(content, content.train)),
            *([_path(content)] if content.trajectory else []),
            *([] if content.completion is None else [_inpainting(content.completion)]),
        ]


def _modality(images: Graphs) -> Pictures:
    return images.modality if isinstance(images.modality, Pictures) else Pictures()


def _scored(models: dict[str, Graphs], test: Graphs, train: Graphs | None, seed: int) -> Scores | None:
    """Scores, or None of too few images or of several sizes."""
    sets = [*models.values(), test, *([] if train is None else [train])]
    few = len(test) < _SCORED or min(len(images) for images in models.values()) < _COMPARED
    if few or len({shape for images in sets for shape in shapes_of(images)}) > 1:
        return None
    return score_images(models, test, train, seed=seed)


# -- samples ------------------------------------------------------------------------------------------------


def _gallery(content: Content) -> Section:
    """Samples by class beside test images."""
    samples, test = content.shown, content.test
    sets = {"Samples of the model": samples}
    sets |= {f"Samples of {name}": images for name, images in content.others.items()}
    if test is not None:
        sets["Test data"] = test
    figures = [_sheet(heading, images) for heading, images in sets.items()]
    by = "A row for each class, the first ones" if samples.label is not None else "The first ones"
    heading = "Samples" if test is None else "Samples beside test data"
    return Section(heading, f"{by}, none picked by hand.", figures, 2 if len(figures) > 1 else 1)


def _sheet(heading: str, images: Graphs) -> Block:
    if images.label is None:
        chosen = list(range(min(len(images), _ROWS * _COLUMNS // 2)))
        rows, names = [chosen[i : i + _COLUMNS] for i in range(0, len(chosen), _COLUMNS)], []
    else:
        labels = images.label.tolist()
        present = [k for k in range(len(images.classes)) if k in labels][:_ROWS]
        rows = [[i for i, k in enumerate(labels) if k == c][:_COLUMNS] for c in present]
        names = [images.classes[c] for c in present]
    flat = [i for row in rows for i in row]
    pictures = dict(zip(flat, arrays_of(_finite(images[flat])), strict=True))
    shown = [[pictures[i] for i in row] for row in rows]
    caption = f"{len(flat)} of {counted(len(images), 'image')}."
    alt = f"{heading}: {counted(len(flat), 'image')}" + (f" of {listed(names)}." if names else ".")
    return Picture.of(heading, alt, caption, lambda paper: image_rows(shown, paper, names=names))


def _finite(images: Graphs) -> Graphs:
    """Return images whose values a picture can hold; those that are not finite are black."""
    assert images.x is not None
    return images.replace(x=images.x.nan_to_num(0, 0, 0))


# -- copies -------------------------------------------------------------------------------------------------


def nearest_images(images: Graphs, train: Graphs) -> tuple[list[int], list[float]]:
    """Return for each image the nearest training image by the root mean square difference, and that.

    At most 5,000 training images, evenly chosen, are compared.

    Raises
    ------
    ValueError
        If the images are not all of one size.
    """
    if len({*shapes_of(images), *shapes_of(train)}) > 1:
        raise ValueError("images and train must be of one size to be compared pixel by pixel.")
    some = spread(len(train), min(len(train), _SEARCHED))
    known = train[some]
    assert known.x is not None
    values = _finite(images).x
    assert values is not None
    one = values.clamp(0, 255).reshape(len(images), -1).cpu().float()
    other = known.x.reshape(len(known), -1).cpu().float()
    found = torch.cdist(one, other).min(1)
    return some[found.indices].tolist(), (found.values / one.shape[1] ** 0.5).tolist()


def _copies(content: Content, train: Graphs) -> list[Section]:
    """Samples above their nearest training images, and how near test images are."""
    samples, test = content.shown, content.test
    sets = [samples, train, *([] if test is None else [test])]
    if len({shape for images in sets for shape in shapes_of(images)}) > 1:
        return []
    near, distance = nearest_images(samples, train)
    picked = pick(samples, _PAIRS)
    made, known = arrays_of(_finite(samples[picked])), arrays_of(train[[near[i] for i in picked]])
    notes = [[""] * len(picked), [f"{distance[i]:.0f}" for i in picked]]
    caption = (
        f"The number is the root mean square difference in levels of 255; median {np.median(distance):.1f}"
    )
    if test is not None:
        held = nearest_images(test, train)[1]
        bound = float(np.quantile(held, _RARE))
        share = float(np.mean([d <= bound for d in distance]))
        caption += (
            f", of test images {np.median(held):.1f}. {100 * share:.1f} % of {len(distance)} samples are as "
            f"near as the nearest 1 % of test images; a model that copies has far more"
        )
    figure = Picture.of(
        "",
        f"{counted(len(picked), 'sample')} above the training images they are nearest to.",
        f"{caption}.",
        lambda paper: image_rows([made, known], paper, names=["sample", "nearest"], notes=notes),
    )
    lead = "A model that remembers its training images would show them here."
    return [Section("Nearest training images", lead, [figure])]


# -- path ---------------------------------------------------------------------------------------------------


def _path(content: Content) -> Section:
    """The path from noise to data: a strip on paper, a slider on a screen."""
    trajectory = content.trajectory or ()
    last = trajectory[-1][1]
    chosen = [trajectory[k] for k in evenly(len(trajectory), _MOMENTS)]
    few = list(range(min(len(last), _STRIP)))
    moments = [arrays_of(_finite(graphs[few])) for _, graphs in chosen]
    signal = [level for level, _ in chosen]
    strip = evenly(len(chosen), _STRIP)
    heads = [f"{100 * signal[m]:.0f} %" for m in strip]
    rows = [[moments[m][i] for m in strip] for i in few[:4]]
    alt = "Images on their way from noise, on the left, to data, on the right."
    kept = f"{counted(len(few), 'image')}; kept are {len(chosen)} of {counted(len(trajectory), 'step')}."
    lead = (
        "Generation starts from noise and removes it step by step. The signal level is the share of data in "
        "what is seen: 0 % is pure noise, 100 % the finished sample. Values beyond black and white are cut."
    )
    still = png(image_rows(rows, LIGHT, heads=heads), _COLORS)
    blocks: list[Block] = [
        Interactive("path", "", alt, kept, image_path_figure(moments, signal), still),
        Picture.of("", alt, "The same at some levels.", lambda paper: image_rows(rows, paper, heads=heads)),
    ]
    return Section("From noise to image", lead, blocks)


# -- inpainting ---------------------------------------------------------------------------------------------


def _holes(images: Graphs) -> torch.Tensor:
    """Return which pixels are known where the middle of each image is to be drawn."""
    masks = []
    for height, width in shapes_of(images):
        mask = np.ones((height, width), dtype=bool)
        rows, columns = (slice(n // 4, max(n - n // 4, n // 4 + 1)) for n in (height, width))
        mask[rows, columns] = False
        masks.append(mask)
    return known_pixels(images, masks)


def _masks(images: Graphs, known: torch.Tensor) -> list[Array]:
    """Return which pixels of each image have no value that is known, ``[h, w]``."""
    flags = images.replace(
        x=(255.0 * ~known.any(1, keepdim=True)), modality=Pictures("grey"), feature_names=()
    )
    return [mask[:, :, 0] > 0 for mask in arrays_of(flags)]


def _hidden(image: Array, hidden: Array) -> Array:
    """Return an image in colour, its hidden pixels in one that greys do not have."""
    color = np.repeat(image, 3 // image.shape[2], axis=2)
    color[hidden] = (np.array(_HOLE) * (np.iinfo(color.dtype).max / 255)).astype(color.dtype)
    return color


def _inpainting(done: Completion) -> Section:
    """Test images with a hole: truth, what is given, mean, spread and draws."""
    images = done.graphs
    assert images.x is not None
    spread = torch.zeros_like(done.mean) if len(done) < 2 else done.std.nan_to_num(0)
    sets = {"truth": images.x, "given": images.x, "mean": done.mean, "spread": 2 * spread}
    draws = [draw.x for draw in done.draws[:_DRAWN]] if done.kept is not None else []
    sets |= {f"draw {j + 1}": x for j, x in enumerate(draws) if x is not None}
    arrays = [arrays_of(_finite(images.replace(x=x))) for x in sets.values()]
    arrays[1] = [_hidden(*pair) for pair in zip(arrays[1], _masks(images, done.known), strict=True)]
    rows: list[Sequence[Array]] = [[of[i] for of in arrays] for i in range(len(images))]
    hidden = ~done.known & images.x.isfinite()
    caption = f"{counted(len(done), 'draw')} of each. Spread is two standard deviations, white for 255"
    if done.kept is not None and len(done) > 1 and bool(hidden.any()):
        error = float((done.mean - images.x)[hidden].square().mean().sqrt())
        expected = float(spread[hidden].square().mean().sqrt())
        caption += (
            f". Root mean square error of the mean {error:.1f}, root mean square standard deviation "
            f"{expected:.1f}: of draws from the right posterior the two agree"
        )

    def draw(paper: Paper) -> Any:
        return image_rows(rows, paper, heads=list(sets))

    alt = f"{counted(len(images), 'test image')} with a hole, filled in."
    lead = "The middle of test images was hidden. The draws differ where what is given leaves it open."
    return Section("Inpainting", lead, [Picture.of("", alt, f"{caption}.", draw)])
