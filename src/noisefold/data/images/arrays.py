"""Images in arrays, in .npz files, and in data sets of other libraries.

=========================================  =============================================================
arrays                                     meaning
=========================================  =============================================================
`images` (`x`, `data`, `arr_0`)            ``[n, h, w]`` or ``[n, h, w, c]``, with `labels` (`y`,
                                           `targets`, `arr_1`) and the names `classes`
`x_train`, `y_train`, `x_test`, `y_test`   the same, divided; also `train_images` and `val_labels`
`jpeg`, `offset`                           contents of picture files one after another, image i from
                                           ``offset[i]`` to ``offset[i + 1]``; also `jpeg_train`
=========================================  =============================================================

Values are uint8, uint16, bool, or floating point in [0, 1] or [0, 255]. Channels are 1 (grey), 3 (RGB), or 2
and 4, of which the last is transparency and left out; tensors may have them first, ``[n, c, h, w]``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from noisefold.data.classes import coded
from noisefold.data.images.decode import fitted, sized
from noisefold.data.images.files import Size, read_pictures
from noisefold.data.images.modality import MOST, Pictures
from noisefold.data.images.pixels import PixelGraphs
from noisefold.data.notice import notify

__all__ = ["are_images", "from_items", "from_named", "holds_images", "images_in", "pictures"]

_IMAGES = ("images", "image", "imgs", "img", "x", "data", "arr_0")
_LABELS = ("labels", "label", "y", "targets", "arr_1")
_BYTES, _OFFSETS = "jpeg", "offset"
_PARTS = {"train": False, "val": True, "valid": True, "test": True}
_NOT_PIXELS = 4  # a last axis of so many numbers or fewer is one of positions or channels
_ITEM_IMAGES = ("image", "img")


def pictures(
    images: Any,
    labels: Any = None,
    classes: Sequence[str] = (),
    *,
    size: int | tuple[int, int] | None = None,
) -> PixelGraphs:
    """Return images in an array as a data set.

    Parameters
    ----------
    images
        ``[n, h, w]``, ``[n, h, w, c]`` or, of tensors, ``[n, c, h, w]``; one image ``[h, w, c]`` with c = 3
        or 4; or a list of arrays or of images of Pillow, which may be of several sizes. Values: uint8,
        uint16, bool, or floating point in [0, 1] or [0, 255].
    labels
        A class for each, a number or a word, or None.
    classes
        Names of the classes, where labels are numbers.
    size
        Pixels a side, or height and width, to which every image is cropped around its middle and resized
        with anti-aliasing; None leaves them as they are.

    Raises
    ------
    ValueError
        If an array is no image, values are out of range, or there is not one label for each.
    """
    shape = sized(size)
    if isinstance(images, list | tuple) and images and not isinstance(images[0], int | float):
        return _listed(images, labels, classes, shape)
    values = _channels_last(images)
    out = _data_set(values, shape, 16 if values.dtype == np.uint16 else 8)
    return _labelled(out, labels, classes)


def _listed(images: Sequence[Any], labels: Any, classes: Sequence[str], size: Size) -> PixelGraphs:
    """Images of several sizes, each an array or an image of Pillow."""
    if all(isinstance(i, Image.Image) for i in images):
        names = [f"image {k}" for k in range(len(images))]
        return _labelled(read_pictures(images, names, size), labels, classes)
    arrays = [_one(i) for i in images]
    if len({(a.shape, a.dtype) for a in arrays}) == 1:
        whole = torch.cat(arrays) if isinstance(arrays[0], Tensor) else np.concatenate(arrays)
        return pictures(whole, labels, classes, size=size)
    parts = [pictures(a, size=size) for a in arrays]
    color = any(p.features == 3 for p in parts)
    deep = any(p.pixels.is_floating_point() for p in parts)
    pixels = [p.pixels.expand(-1, 3) if color else p.pixels for p in parts]
    modality = Pictures("rgb" if color else "grey", 16 if deep else 8)
    joined = torch.cat([p.float() if deep else p for p in pixels])
    shapes = torch.cat([p.shapes for p in parts])
    return _labelled(PixelGraphs(joined, shapes, modality=modality), labels, classes)


def _one(image: Any) -> Any:
    """One image as an array of one."""
    if isinstance(image, Image.Image):
        return np.asarray(image.convert("L" if image.mode in ("1", "L") else "RGB"))[None]
    return image[None] if isinstance(image, Tensor) else np.asarray(image)[None]


def _data_set(values: NDArray[Any], size: Size, bits: int) -> PixelGraphs:
    """Images ``[n, h, w, c]`` of one size."""
    values, deep = _in_range(values)
    if size is not None and values.shape[1:3] != size:
        values = _resized(values, size)
    n, height, width, channels = values.shape
    pixels = torch.from_numpy(np.array(values, order="C")).reshape(-1, channels)
    shapes = torch.tensor([[height, width]]).expand(n, 2)
    return PixelGraphs(
        pixels, shapes, modality=Pictures("rgb" if channels == 3 else "grey", 16 if deep else 8)
    )


def _channels_last(images: Any) -> NDArray[Any]:
    """Return an array ``[n, h, w, c]`` with 1 or 3 channels."""
    tensor = isinstance(images, Tensor)
    values = images.detach().cpu().numpy() if tensor else np.asarray(images)
    if values.ndim == 3 and values.shape[-1] in (3, 4) and values.shape[0] > _NOT_PIXELS:
        values = values[None]
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim == 4 and values.shape[-1] > 4 and values.shape[1] in (1, 3):
        values = np.moveaxis(values, 1, -1)
    if values.ndim != 4 or values.shape[-1] not in (1, 2, 3, 4) or 0 in values.shape:
        raise ValueError(
            f"images must be [n, h, w] or [n, h, w, c] with c up to 4, got {list(np.shape(images))}."
        )
    if values.shape[-1] in (2, 4):
        notify("images: transparency was left out, and the colours beneath it kept.")
        values = values[..., :-1]
    return values


def _in_range(values: NDArray[Any]) -> tuple[NDArray[Any], bool]:
    """Return values as uint8, or as float32 in [0, 255] with True where they are finer than that."""
    if values.dtype == np.uint8:
        return values, False
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(MOST), False
    if values.dtype.kind not in "iuf":
        raise ValueError(f"images must be numbers, got type {values.dtype}; convert them.")
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)) or low < 0:
        raise ValueError(
            f"images must lie in [0, 255], [0, 1] or, of uint16, [0, 65535], got {low:g} to {high:g}."
        )
    if values.dtype.kind in "iu":
        if high <= MOST and values.dtype != np.uint16:
            return values.astype(np.uint8), False
        if high > 65535:
            raise ValueError(f"images must have at most 16 bits, got values up to {high:g}.")
        notify("images: 16 bits were kept, as values in [0, 255] with fractions.")
        return (values.astype(np.float64) * (MOST / 65535)).astype(np.float32), True
    if high > MOST:
        raise ValueError(f"images must lie in [0, 255] or [0, 1], got values up to {high:g}; rescale them.")
    scaled = values.astype(np.float64) * (MOST if high <= 1 else 1.0)
    whole = scaled.round()
    if np.abs(scaled - whole).max() < 1e-3:
        return whole.astype(np.uint8), False
    notify(f"images: values from {low:g} to {high:g} were kept with fractions, in [0, 255].")
    return scaled.astype(np.float32), True


def _resized(values: NDArray[Any], size: Size) -> NDArray[Any]:
    assert size is not None
    out = np.empty((len(values), *size, values.shape[-1]), dtype=values.dtype)
    for i, image in enumerate(values):
        if values.dtype == np.uint8:
            picture = fitted(Image.fromarray(image[:, :, 0] if image.shape[2] == 1 else image), size)
            out[i] = np.asarray(picture).reshape(out[i].shape)
        else:
            for c in range(image.shape[2]):
                out[i, :, :, c] = np.asarray(fitted(Image.fromarray(image[:, :, c]), size)).clip(0, MOST)
    return out


def _labelled(images: PixelGraphs, labels: Any, classes: Sequence[str]) -> PixelGraphs:
    if labels is None:
        return images
    values = labels.detach().cpu().numpy() if isinstance(labels, Tensor) else np.asarray(labels)
    values = values.reshape(-1) if values.size == len(images) else values
    if values.shape != (len(images),):
        raise ValueError(
            f"labels must be one for each of the {len(images)} images, got shape {list(values.shape)}."
        )
    label, names = coded(values.tolist())
    if len(classes):
        numbers = torch.from_numpy(values.astype(np.int64)) if values.dtype.kind in "iu" else None
        if numbers is None:
            known = {str(name): i for i, name in enumerate(classes)}
            lacking = next((n for n in names if n not in known), None)
            if lacking is not None:
                raise ValueError(f"labels name the class {lacking!r}, which is not among classes; add it.")
            numbers = torch.tensor([known[names[int(k)]] for k in label])
        if int(numbers.max()) >= len(classes):
            raise ValueError(f"labels must lie in [0, {len(classes)}), as classes, got {int(numbers.max())}.")
        label, names = numbers, tuple(str(c) for c in classes)
    labelled = images.replace(label=label, classes=names)
    assert isinstance(labelled, PixelGraphs)
    return labelled


# -- named arrays -------------------------------------------------------------------------------------------


def holds_images(arrays: Mapping[str, tuple[tuple[int, ...], Any]]) -> bool:
    """Return whether named arrays are images, by their shapes and types."""
    if any(name in arrays for name in ("pos", "points", "edges")):
        return False
    for part in ("", *_PARTS):
        if _find(arrays, (_BYTES,), part) is not None and _find(arrays, (_OFFSETS,), part) is not None:
            return True
        name = _find(arrays, _IMAGES, part)
        if name is not None and are_images(*arrays[name]):
            return True
    return False


def are_images(shape: tuple[int, ...], dtype: Any) -> bool:
    """Return whether an array is of images: ``[n, h, w, c]``, or ``[n, h, w]`` of bytes."""
    if len(shape) == 4:
        return True
    small = np.dtype(dtype) in (np.uint8, np.uint16, np.bool_)
    return len(shape) == 3 and small and min(shape[1:]) > _NOT_PIXELS


def _find(arrays: Iterable[str], names: Sequence[str], part: str) -> str | None:
    """Return the first of some names that is there, with the part before or behind it."""
    for name in names:
        for whole in (f"{name}_{part}", f"{part}_{name}") if part else (name,):
            if whole in arrays:
                return whole
    return None


def from_named(arrays: Mapping[str, Any], size: Size = None) -> PixelGraphs:
    """Return the images of named arrays, those of a file that is divided with their split.

    Raises
    ------
    ValueError
        If they do not fit together.
    """
    classes = [str(c) for c in np.asarray(arrays.get("classes", ())).ravel().tolist()]
    parts: list[PixelGraphs] = []
    held: list[Tensor] = []
    divided = [p for p in _PARTS if _find(arrays, (*_IMAGES, _BYTES), p) is not None]
    for part in divided or [""]:
        images = _part(arrays, part, classes, size)
        parts.append(images)
        held.append(torch.full((len(images),), _PARTS.get(part, False)))
    if len(parts) == 1:
        return parts[0]
    listed = ", ".join(f"{len(p)} in {name}" for p, name in zip(parts, divided, strict=True))
    if {"train"} < set(divided):
        notify(f"the arrays are the split ({listed}); what is not in train is held out.")
    return _joined(parts, torch.cat(held))


def _joined(parts: Sequence[PixelGraphs], held: Tensor) -> PixelGraphs:
    if len({(p.features, p.pixels.dtype) for p in parts}) > 1:
        raise ValueError("the parts of the images must have the same channels and type; convert them.")
    first, label, classes = parts[0], None, _classes_of(parts)
    if all(p.label is not None for p in parts):
        codes = []
        for part in parts:
            assert part.label is not None
            codes.append(torch.tensor([classes.index(name) for name in part.classes])[part.label])
        label = torch.cat(codes)
    pixels, shapes = torch.cat([p.pixels for p in parts]), torch.cat([p.shapes for p in parts])
    named = classes if label is not None else ()
    modality = first.modality if isinstance(first.modality, Pictures) else None
    return PixelGraphs(pixels, shapes, label, named, modality, held)


def _classes_of(parts: Sequence[PixelGraphs]) -> tuple[str, ...]:
    """Return the classes of all parts, whole numbers in their order."""
    names = tuple(dict.fromkeys(name for part in parts for name in part.classes))
    return tuple(sorted(names, key=int)) if all(n.isdecimal() for n in names) else names


def _part(arrays: Mapping[str, Any], part: str, classes: Sequence[str], size: Size) -> PixelGraphs:
    found = _find(arrays, _LABELS, part)
    labels = None if found is None else arrays[found]
    content, offsets = (_find(arrays, (name,), part) for name in (_BYTES, _OFFSETS))
    if content is not None and offsets is not None:
        files = _files(np.asarray(arrays[content]), np.asarray(arrays[offsets]), content)
        named = [f"`{content}` {i}" for i in range(len(files))]
        return _labelled(read_pictures(files, named, size), labels, classes)
    name = _find(arrays, _IMAGES, part)
    assert name is not None
    return pictures(arrays[name], labels, classes, size=size)


def _files(content: NDArray[Any], offsets: NDArray[Any], name: str) -> list[bytes]:
    bounds = offsets.astype(np.int64).ravel()
    sound = content.dtype == np.uint8 and offsets.dtype.kind in "iu" and len(bounds) > 1
    if not sound or bounds[0] < 0 or bounds[-1] > content.size or (np.diff(bounds) < 0).any():
        raise ValueError(f"`{name}` must be uint8 with rising offsets within it, [n + 1]; correct them.")
    whole = content.ravel()
    return [whole[a:b].tobytes() for a, b in itertools.pairwise(bounds)]


# -- data sets of other libraries ---------------------------------------------------------------------------


def images_in(source: Any) -> bool:
    """Return whether an object is a list or a data set of images of Pillow, alone or with labels."""
    if isinstance(source, str | bytes | Mapping | np.ndarray | Tensor) or not hasattr(source, "__getitem__"):
        return False
    try:
        return len(source) > 0 and _item(source[0])[0] is not None
    except Exception:  # whatever an object of another library raises: it is no such data set
        return False


def _item(item: Any) -> tuple[Any, Any]:
    """Return image and label of an item of a data set, or None and None if it is of another kind."""
    image, label = item, None
    if isinstance(item, Mapping):
        image = next((item[k] for k in _ITEM_IMAGES if k in item), None)
        label = next((item[k] for k in _LABELS if k in item), None)
    elif isinstance(item, tuple | list) and len(item) > 1:
        image, label = item[0], item[1]
    if isinstance(image, Image.Image) or (isinstance(image, Tensor) and _is_chw(image)):
        return image, label
    return None, None


def _is_chw(image: Tensor) -> bool:
    return image.ndim == 3 and image.shape[0] in (1, 3) and min(image.shape[1:]) > _NOT_PIXELS


def from_items(source: Any, size: Size = None) -> PixelGraphs:
    """Return the images of a list or a data set, such as one of torchvision.

    Raises
    ------
    ValueError
        If items are of several kinds.
    """
    items = [_item(source[i]) for i in range(len(source))]
    bad = next((i for i, (image, _) in enumerate(items) if image is None), None)
    if bad is not None:
        raise ValueError(f"source[{bad}] is no image of Pillow, as others are; leave it out.")
    images, labels = [image for image, _ in items], [label for _, label in items]
    if any(label is None for label in labels):
        labels = []
    plain = [v.item() if isinstance(v, Tensor | np.generic) else v for v in labels]
    names = getattr(source, "classes", ())
    named = isinstance(names, list | tuple) and all(isinstance(v, int) for v in plain)
    return pictures(images, plain or None, names if named else (), size=size)
