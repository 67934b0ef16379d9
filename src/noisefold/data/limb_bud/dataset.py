"""The limb bud of Bmp, Sox9 and Wnt as a data set: one graph a simulation, kept on disk."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from noisefold.arguments import one_of, seed_of, whole
from noisefold.data.limb_bud import simulation
from noisefold.data.load import read_file
from noisefold.data.save import save
from noisefold.geometry.graphs import Graphs

__all__ = ["limb_bud"]

_TRAIN, _TEST = (10_000, 10, 10), (2_000, 12, 8)


def limb_bud(
    samples: int | None = None,
    times: Any = None,
    positions: Any = None,
    split: str = "train",
    knockout: str | None = None,
    rates: str = "zero",
    seed: int = 0,
    cache: str | os.PathLike[str] | Literal[False] | None = None,
) -> Graphs:
    """Expression of Sox9, Bmp and Wnt over space and time in a growing limb bud, one graph a simulation.

    Each graph has a node for every time and place, times first: ``pos [n, 2]`` is (space, time), scaled to
    [0, 2] and [0, 1], and ``x [n, 3]`` Sox9, Bmp and Wnt as they are simulated
    (`noisefold.data.limb_bud.simulation.limb_bud`). Sample i is a function of (seed, split, i), whatever the
    number of samples; with a knock-out it begins with the same values of the other genes.

    Parameters
    ----------
    samples
        Number of graphs; None: 10,000 for "train", 2,000 for "test".
    times, positions
        How many, evenly from 0 to 100 and from 0 to 60 with both ends; or the values themselves. None: 10
        times at 10 places for "train", 12 times at 8 places for "test".
    split
        "train" or "test".
    knockout
        "sox9", "bmp" or "wnt": held at zero.
    rates
        Production rates: "zero", or "random" for each simulation.
    seed
        Seed, in [0, 2**63).
    cache
        Folder in which the result is kept and found again; None: ``noisefold`` in the user's folder of
        caches (XDG_CACHE_HOME, or else ``~/.cache``); False: nowhere. A damaged file is made again.

    Raises
    ------
    ValueError
        If an argument is out of its range.

    Examples
    --------
    >>> limb_bud(4, times=[0, 5, 10], positions=6, cache=False)
    Graphs(4 graphs, 18 nodes each, 2-D, 3 features)
    """
    split, seed = one_of("split", split, ("train", "test")), seed_of(seed)
    rates = one_of("rates", rates, ("zero", "random"))
    knockout = None if knockout is None else one_of("knockout", knockout, simulation.GENES)
    usual = _TRAIN if split == "train" else _TEST
    count = usual[0] if samples is None else whole("samples", samples, least=1)
    at = _even(usual[1] if times is None else times, "times", simulation.DURATION)
    where = _even(usual[2] if positions is None else positions, "positions", simulation.LENGTH)
    # The upper half of the seeds is that of the test split, so that no sample is in both.
    options = {"knockout": knockout, "rates": rates, "seed": seed + (2**63 if split == "test" else 0)}
    file = None if cache is False else _file(cache, samples=count, times=at, positions=where, **options)
    known = None if file is None else _read(file, count, len(at) * len(where))
    if known is not None:
        return known
    x = simulation.limb_bud(count, at, where, **options)  # type: ignore[arg-type]
    place = torch.tensor(where) * (2 / simulation.LENGTH)
    pos = torch.cartesian_prod(torch.tensor(at) / simulation.DURATION, place).flip(1).float()
    graphs = Graphs.dense(pos.expand(count, -1, -1), x.flatten(1, 2))
    if file is not None:
        _keep(graphs, file)
    return graphs


def _even(values: Any, name: str, end: float) -> list[float]:
    if np.ndim(values) == 0:
        return [float(v) for v in np.linspace(0, end, whole(name, values, least=2))]
    return [float(v) for v in np.asarray(values, dtype=np.float64).ravel()]


def _file(cache: str | os.PathLike[str] | None, **arguments: Any) -> Path:
    """Where the result of these arguments is kept: the name is their hash."""
    if cache is None:
        home = os.environ.get("XDG_CACHE_HOME", "")
        cache = (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "noisefold"
    content = json.dumps({"version": simulation.VERSION, **arguments}, sort_keys=True)
    return Path(cache) / f"limb_bud-{hashlib.sha256(content.encode()).hexdigest()[:24]}.npz"


def _read(file: Path, samples: int, nodes: int) -> Graphs | None:
    """What was kept, if it is whole."""
    try:
        graphs = read_file(file)
    except (FileNotFoundError, ValueError):
        return None
    fits = (len(graphs), graphs.uniform, graphs.dim, graphs.features) == (samples, nodes, 2, 3)
    return graphs if fits else None


def _keep(graphs: Graphs, file: Path) -> None:
    try:
        save(graphs, file)
    except (OSError, ValueError) as error:
        warnings.warn(f"{file} could not be written ({error}); the data are not kept.", stacklevel=3)
