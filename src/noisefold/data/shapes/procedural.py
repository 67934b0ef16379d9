"""Procedural 3-D shapes: a data set that needs no file.

Each family is a distribution over solids: continuous proportions (leg height, sweep of a wing, number of
coils) and a few discrete choices (kind of leg, armrests or none). A shape is drawn from its family, turned
about the up axis z, and seen as points independent and uniform by area on its surface, centred on their
mean and scaled into the unit sphere, as ModelNet is (Wu et al., *3D ShapeNets*, CVPR 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from noisefold.arguments import one_of, real, seed_of, whole
from noisefold.data.mesh import Array, Mesh, join, sample_surface, unit_sphere
from noisefold.data.shapes.families import BUILDERS
from noisefold.geometry.graphs import Graphs

__all__ = ["FAMILIES", "shapes"]

_Rng = np.random.Generator
FAMILIES: tuple[str, ...] = tuple(BUILDERS)
"""Names of the families that `shapes` knows."""


def shapes(
    count: int = 2000,
    points: int = 1024,
    families: Sequence[str] | None = None,
    seed: int = 0,
    rotate: float = 15.0,
) -> Graphs:
    """Point clouds of furniture, vessels, vehicles and the like, ``[count * points, 3]``.

    Shape i is a function of ``(seed, i)`` and the families alone, whatever the count.

    Parameters
    ----------
    count
        Number of shapes.
    points
        Points on each.
    families
        Which of `FAMILIES`; None means all. Shape i belongs to family ``i % len(families)``, its label.
    seed
        Seed, in [0, 2**63).
    rotate
        Each shape is turned about z by an angle uniform in [-rotate, rotate], in degrees; 180 means any.

    Raises
    ------
    ValueError
        If a family is unknown, or a number is out of range.

    Examples
    --------
    >>> shapes(20, points=128, families=("chair", "vase"))
    Graphs(20 graphs, 128 nodes each, 3-D, 2 classes)
    """
    count, points = whole("count", count, least=1), whole("points", points, least=2)
    seed, rotate = seed_of(seed), real("rotate", rotate, least=0, most=180)
    names = FAMILIES if families is None else _known(families)
    clouds = np.empty((count, points, 3), dtype=np.float32)
    for i in range(count):
        rng = np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
        clouds[i] = _shape(BUILDERS[names[i % len(names)]], points, rotate, rng)
    return Graphs.dense(torch.from_numpy(clouds), label=torch.arange(count) % len(names), classes=names)


def _known(families: Sequence[str]) -> tuple[str, ...]:
    if isinstance(families, str) or not len(families):
        raise ValueError(f"families must be a list of names out of {', '.join(FAMILIES)}; got {families!r}.")
    names = tuple(one_of("families", name, FAMILIES) for name in families)
    if len(set(names)) < len(names):
        raise ValueError(f"families must be different names; got {list(families)}.")
    return names


def _shape(build: Callable[[_Rng], list[Mesh]], points: int, rotate: float, rng: _Rng) -> Array:
    turn = np.deg2rad(rotate * rng.uniform(-1, 1))
    cloud = sample_surface(join(build(rng)), points, rng)
    c, s = np.cos(turn), np.sin(turn)
    return unit_sphere(cloud @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]))
