"""Families of procedural solids, each a distribution over triangle meshes.

A family draws continuous proportions (leg height, sweep of a wing, number of coils) and a few discrete
choices (kind of leg, armrests or none), and puts a solid together from primitives. The up axis is z, the
front looks along +y, lengths are in arbitrary units.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np

from noisefold.data.mesh import Array, Mesh
from noisefold.data.shapes.primitives import box, disc, ellipsoid, prism, revolve, tube

__all__ = ["BUILDERS"]

_Rng = np.random.Generator
_CORNERS = tuple(itertools.product((-1, 1), (-1, 1)))


def _at(x: float, y: float, z: float) -> Array:
    return np.array([x, y, z], dtype=np.float64)


def _airplane(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    length, radius = 2.0, u(0.09, 0.14)
    nose, tail = u(0.12, 0.25), u(0.3, 0.5)
    y = np.array([1, 0.97, 0.9, 1 - 1.3 * nose, 0, -1 + 1.3 * tail, -0.9, -1]) * length / 2
    width = radius * np.array([0, 0.35, 0.7, 1, 1, 1, 0.45, 0.15])
    height = radius * np.array([0, 0, 0, 0, 0, 0, 0.4, 0.6])
    parts = [tube(np.stack([0 * y, y, height], 1), width, around=20)]
    span, sweep, root, root_y = u(0.7, 1.15), u(0.05, 0.6), u(0.35, 0.55), u(0.15, 0.35)
    rise, tip = u(0.0, 0.15) * span, root * u(0.25, 0.55)
    engines = rng.choice(["none", "two", "four", "tail"], p=[0.2, 0.4, 0.2, 0.2])
    spots = {"none": (), "two": (0.35,), "four": (0.3, 0.6), "tail": ()}[engines]
    tail_span, tail_sweep, tail_root = u(0.32, 0.45), u(0.1, 0.3), u(0.2, 0.28)
    fin, girth = u(0.3, 0.45), u(0.045, 0.065)
    for side in (-1, 1):
        parts.append(_wing(side * span, root_y, root, root_y - sweep, tip, -0.4 * radius, rise))
        parts.append(
            _wing(side * tail_span, -0.75, tail_root, -0.75 - tail_sweep, 0.5 * tail_root, 0.05, 0.02)
        )
        for f in spots:
            x, z = side * f * span, rise * f - 0.4 * radius - 1.2 * girth
            front = root_y - f * sweep + 0.1
            parts.append(tube([(x, front, z), (x, front - 0.3, z)], girth))
        if engines == "tail":
            x = side * (radius + girth)
            parts.append(tube([(x, -0.4, 0.06), (x, -0.75, 0.06)], girth))
    outline = [(0, -0.7, 0.5 * radius), (0, -1, 0.5 * radius), (0, -1.1, fin), (0, -0.95, fin)]
    parts.append(prism(outline, (0.02, 0, 0)))
    return parts


def _wing(span: float, y: float, root: float, y_tip: float, tip: float, z: float, rise: float) -> Mesh:
    outline = [(0, y, z), (span, y_tip, z + rise), (span, y_tip - tip, z + rise), (0, y - root, z)]
    return prism(outline, (0, 0, 0.025))


def _legs(kind: str, x: float, y: float, top: float, width: float, splay: float) -> list[Mesh]:
    """Four legs under a slab with half sides x, y, square or round, or one foot in the middle."""
    if kind == "pedestal":
        foot = min(x, y) * 0.75
        return [disc(foot, 0, 0.05), tube([(0, 0, 0.05), (0, 0, top)], 1.1 * width)]
    if kind == "square":
        x, y = x - width, y - width
        w = np.array([width, width, 0])
        return [box(np.array([i * x, j * y, 0]) - w, np.array([i * x, j * y, top]) + w) for i, j in _CORNERS]
    x, y = 0.85 * x, 0.85 * y
    ends = [((i * x * splay, j * y * splay, 0), (i * x, j * y, top)) for i, j in _CORNERS]
    return [tube(line, (0.7 * width, 1.1 * width)) for line in ends]


def _chair(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    x, y, seat, slab = u(0.42, 0.55), u(0.42, 0.55), u(0.75, 1.05), u(0.06, 0.16)
    top, width = seat + slab, u(0.04, 0.06)
    back, lean = u(0.75, 1.2), u(0.0, 0.25)
    parts = _legs(
        rng.choice(["square", "round", "pedestal"], p=[0.45, 0.35, 0.2]), x, y, seat, width, u(1, 1.2)
    )
    parts.append(box((-x, -y, seat), (x, y, top)))

    def rest(x0: float, x1: float, z0: float, z1: float) -> Mesh:
        y0, y1 = -y - lean * z0 / back, -y - lean * z1 / back
        outline = [(x0, y0, top + z0), (x1, y0, top + z0), (x1, y1, top + z1), (x0, y1, top + z1)]
        return prism(outline, (0, 0.07, 0))

    kind = rng.choice(["solid", "slats", "ladder"], p=[0.5, 0.25, 0.25])
    if kind == "solid":
        parts.append(rest(-x, x, u(0, 0.25), back))
    elif kind == "slats":
        parts.append(rest(-x, x, back - 0.18, back))
        parts += [
            rest(c - 0.05, c + 0.05, 0, back - 0.18)
            for c in np.linspace(-x + 0.05, x - 0.05, rng.integers(4, 6))
        ]
    else:
        parts += [rest(c - 0.05, c + 0.05, 0, back) for c in (-x + 0.05, x - 0.05)]
        parts += [
            rest(-x + 0.1, x - 0.1, z, z + 0.13) for z in np.linspace(0.25, back - 0.14, rng.integers(2, 4))
        ]
    if u() < 0.35:
        arm = u(0.28, 0.42)
        for side in (-1, 1):
            a, b = sorted((side * x, side * (x - 0.1)))
            parts.append(box((a, -y, top + arm), (b, 0.8 * y, top + arm + 0.06)))
            parts.append(box((a, 0.8 * y - 0.09, top), (b, 0.8 * y, top + arm)))
    return parts


def _dog(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    length, girth, leg, thick = u(0.45, 0.75), u(0.19, 0.27), u(0.35, 0.75), u(0.06, 0.085)
    z = leg + 0.7 * girth
    y = np.linspace(-1, 1, 9)
    body = girth * np.array([0.35, 0.8, 0.95, 0.9, 0.85, 0.9, 1.0, 0.9, 0.45])
    parts = [tube(np.stack([0 * y, length * y, np.full(9, z)], 1), body, around=20)]
    for i, j in _CORNERS:
        x, y0 = 0.6 * girth * i, (length - 0.6 * girth) * j
        parts.append(
            tube([(x, y0, z), (x, y0 + 0.02, 0.5 * leg), (x, y0, 0)], (1.5 * thick, thick, 0.9 * thick))
        )
        parts.append(ellipsoid((x, y0 + 0.5 * thick, 0.4 * thick), (thick, 1.6 * thick, 0.7 * thick), 12))
    neck, reach, head = u(0.25, 0.5), u(0.15, 0.35), u(0.17, 0.22)
    at = _at(0, length + reach, z + neck)
    parts.append(tube([_at(0, length - 0.1, z + 0.02), at], (0.75 * girth, 0.65 * head)))
    parts.append(ellipsoid(at, (0.85 * head, head, 0.9 * head)))
    snout = u(0.9, 1.6) * head
    parts.append(
        tube([at - _at(0, 0, 0.03), at + _at(0, head + 0.6 * snout, -0.25 * head)], (0.65 * head, 0.4 * head))
    )
    ear, droop = u(0.15, 0.28), rng.choice([-1.0, 1.0])
    for side in (-1, 1):
        root = at + _at(side * 0.6 * head, -0.1, 0.6 * head)
        parts.append(tube([root, root + _at(side * 0.07, -0.03, droop * ear)], (0.08, 0.03)))
    s, curl, tail = np.linspace(0, 1, 8), u(-0.6, 1.0), u(0.35, 0.6)
    path = np.stack([0 * s, -length - tail * s * (1 - 0.4 * s), z + 0.3 * girth + tail * curl * s**1.5], 1)
    parts.append(tube(path, 0.05 - 0.02 * s))
    return parts


def _lamp(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    height, base, pole = u(1.0, 2.2), u(0.3, 0.45), u(0.03, 0.05)
    shade, wide = u(0.45, 0.8), u(0.42, 0.65)
    narrow = wide * u(0.35, 0.9)
    parts = [revolve([(wide, height - 0.6 * shade), (narrow, height + 0.4 * shade)])]
    if u() < 0.5:
        parts += [disc(base, 0, u(0.05, 0.1)), tube([(0, 0, 0), (0, 0, height)], pole)]
    else:
        z = np.linspace(0, 1, 16)
        bulge = base * (0.35 + 0.65 * np.sin(np.pi * np.clip(z * u(0.9, 1.1) + u(0, 0.1), 0, 1)))
        body = height * u(0.35, 0.55)
        parts.append(revolve([(0, 0), *zip(bulge, body * z, strict=True), (0, body)]))
        parts.append(tube([(0, 0, body), (0, 0, height)], pole))
    return parts


def _mug(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    radius, height, taper, belly = u(0.4, 0.6), u(0.8, 1.3), u(-0.08, 0.12), u(-0.06, 0.06)
    z = np.linspace(0, 1, 6)
    wall = radius + taper * z + belly * np.sin(np.pi * z)
    parts = [revolve([(0, 0), *zip(wall, height * z, strict=True)])]
    half, reach, square = height * u(0.26, 0.36), u(0.35, 0.55), u(0.6, 1.0)
    angle = np.linspace(-np.pi / 2, np.pi / 2, 16)
    bend = np.stack([reach * np.cos(angle) ** square, 0 * angle, half * np.sin(angle)], 1)
    return [*parts, tube(bend + _at(radius, 0, 0.5 * height), u(0.06, 0.09))]


def _rocket(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    radius, body, nose = u(0.18, 0.3), u(1.1, 1.9), u(0.4, 0.8)
    s = np.linspace(0, 1, 10)
    cone = np.stack([radius * (1 - s ** u(1.3, 2.2)), body + nose * s], 1)
    parts = [revolve([(0, 0), (radius * u(0.8, 1), 0), (radius, 0.25 * body), *cone])]
    parts.append(revolve([(0.75 * radius, -0.2), (0.4 * radius, 0)]))
    fins, span, chord, sweep = rng.integers(3, 5), u(0.3, 0.5), u(0.4, 0.65), u(0.1, 0.35)
    for angle in 2 * np.pi * np.arange(fins) / fins:
        out, side = np.array([np.cos(angle), np.sin(angle), 0]), np.array([-np.sin(angle), np.cos(angle), 0])
        a, b, up = 0.8 * radius * out, (radius + span) * out, np.array([0, 0, 1])
        outline = [a + 0.02 * up, b - sweep * up, b + (0.35 * chord - sweep) * up, a + chord * up]
        parts.append(prism([p - 0.0125 * side for p in outline], 0.025 * side))
    if u() < 0.3:
        r, high = 0.45 * radius, body * u(0.45, 0.65)
        for x in (-radius - r, radius + r):
            line = [_at(x, 0, -0.1), _at(x, 0, high), _at(x, 0, high + 0.25)]
            parts.append(tube(line, (r, r, 0.02), around=16))
    return parts


def _spring(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    coils, height, radius, wire = u(2.5, 5), u(1.2, 2.2), u(0.4, 0.65), u(0.045, 0.075)
    s = np.linspace(0, 1, int(24 * coils))
    angle = 2 * np.pi * (coils * s + u())
    cone = radius * (1 - u(0, 0.5) * s)
    return [tube(np.stack([cone * np.cos(angle), cone * np.sin(angle), height * s], 1), wire, around=10)]


def _table(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    x, y, height, slab = u(0.7, 1.2), u(0.45, 0.7), u(0.6, 1.0), u(0.05, 0.1)
    width, splay = u(0.05, 0.08), u(0.95, 1.15)
    if u() < 0.35:
        kind = rng.choice(["round", "pedestal"])
        legs = _legs(kind, 0.72 * x, 0.72 * x, height, width, splay)
        return [disc(x, height, slab, around=48), *legs]
    legs = _legs(rng.choice(["square", "round"]), x, y, height, width, splay)
    parts = [box((-x, -y, height), (x, y, height + slab)), *legs]
    if u() < 0.25:
        z = height * u(0.2, 0.35)
        parts.append(box((-0.8 * x, -0.8 * y, z), (0.8 * x, 0.8 * y, z + 0.04)))
    return parts


def _tree(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    trunk, girth, crown = u(0.35, 0.7), u(0.07, 0.12), u(0.45, 0.65)
    if u() < 0.5:
        layers, step = rng.integers(3, 5), u(0.36, 0.46)
        parts = [tube([(0, 0, 0), (0, 0, trunk)], girth)]
        for k in range(layers):
            wide, z = float(crown * (1 - 0.75 * k / layers)), trunk + k * step
            parts.append(revolve([(0.3 * wide, z + 0.06), (wide, z), (0.18 * wide, z + 1.15 * step)]))
        return [*parts, revolve([(0.18 * wide, z + 1.15 * step), (0, z + 1.3 * step)])]
    blobs, top = rng.integers(4, 7), trunk + 0.45
    parts = [tube([(0, 0, 0), (0, 0, top)], (girth, 0.6 * girth)), ellipsoid((0, 0, top + 0.4), 0.75 * crown)]
    for k in range(blobs):
        angle, reach = 2 * np.pi * (k + u(-0.2, 0.2)) / blobs, 0.65 * crown
        at = _at(reach * np.cos(angle), reach * np.sin(angle), top + u(0.1, 0.4))
        parts.append(ellipsoid(at, crown * u(0.4, 0.55), 16))
        parts.append(tube([_at(0, 0, trunk), at], (0.6 * girth, 0.03)))
    return parts


def _vase(rng: _Rng) -> list[Mesh]:
    u = rng.uniform
    height = u(1.2, 2.0)
    control = np.array([u(0.2, 0.45), u(0.2, 0.75), u(0.25, 0.75), u(0.08, 0.4), u(0.15, 0.6)])
    z = np.linspace(0, 1, 28)
    radius = np.maximum(_blend(z) @ control, 0.08)
    return [revolve([(0, 0), *zip(radius, height * z, strict=True)], around=40)]


def _blend(z: Array) -> Array:
    """Smooth weights ``[m, 5]`` of five control radii along the height."""
    nodes = np.linspace(0, 1, 5)
    weight = np.exp(-0.5 * ((z[:, None] - nodes) / 0.14) ** 2)
    return np.asarray(weight / weight.sum(1, keepdims=True))


BUILDERS: dict[str, Callable[[_Rng], list[Mesh]]] = {
    "airplane": _airplane,
    "chair": _chair,
    "dog": _dog,
    "lamp": _lamp,
    "mug": _mug,
    "rocket": _rocket,
    "spring": _spring,
    "table": _table,
    "tree": _tree,
    "vase": _vase,
}
"""The solids of a family, from a random generator."""
