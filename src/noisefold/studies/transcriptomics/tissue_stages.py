"""A stage between stages: the chick heart at day 10, from a model that has seen days 4, 7 and 14.

Spots hold fractions of cell types. Each slide has its own frame, so that a patch keeps its shape but not its
location: positions are relative to its centre, and the day is a further coordinate. Spots of different days
do not correspond; what is compared are distributions of patches: of the held-out day, and generated ones.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.configuration import encode
from noisefold.data import Expression, Tissue
from noisefold.eval import score_fields
from noisefold.eval.field_metrics import distances
from noisefold.geometry import DataSummary, Graphs, Scaling
from noisefold.model import Model
from noisefold.nn import SetTransformer
from noisefold.noise import seeded
from noisefold.sample import DPMSolver
from noisefold.studies.kit.experiment import Result, Run
from noisefold.studies.transcriptomics.tissue_blocks import patches_of, source
from noisefold.train import Training

__all__ = ["FILE", "Stages", "spot_energy", "stages"]

FILE = "chick_heart_stages_visium.h5ad"
_DAY = 10.0
_BEFORE, _AFTER = 7.0, 14.0
# Days in units of so many standard deviations: fast variation with the day cannot be learned from three days.
_SLOW = 8.0
_METRICS = ("marginal-W1", "Moran-W1", "variogram")
_RESAMPLES = 50


@dataclass(frozen=True)
class Stages:
    """How the stages are learned and the held-out one is generated.

    Parameters
    ----------
    training
        Settings of the training.
    cells, patches
        Spots of a patch, and patches to learn from.
    held
        Generated patches of the held-out day; as many others give the row real.
    width, blocks
        Of the network.
    steps
        Of the solver.
    """

    training: Training
    cells: int
    patches: int
    held: int
    width: int
    blocks: int
    steps: int


def stages(run: Run[Any], name: str, size: Stages) -> Result | None:
    """Train, generate day 10, and score it; None if the file is not there."""
    path = source(FILE)
    if path is None:
        return None
    tissue = Tissue.read(path, pos="obsm/spatial", group="obs/stage", time="obs/day")
    day, seed = tissue.pos[:, -1], run.seed
    seen = tissue.part(np.flatnonzero(day != _DAY))
    patches = patches_of(seen, size.patches, size.cells, seed, _centred)
    transform = Expression.fit(seen, values="continuous")
    model = _model(transform.apply(patches), transform, tissue.genes, size, seed)
    start = time.process_time()
    model.fit(patches, settings=size.training, out=run.folder / name / "run", resume=True)
    spent = time.process_time() - start
    parts = {d: tissue.part(np.flatnonzero(day == d)) for d in (_BEFORE, _DAY, _AFTER)}
    scores = run.cached(f"{name}/stages", partial(_generated, model, parts, transform, size, seed, spent))
    days = ", ".join(f"day {d:g} {int((day == d).sum())}" for d in np.unique(day))
    return {
        "title": "chick heart (Visium), day 10 left out",
        "about": (
            f"{len(tissue)} spots ({days}), fractions of {len(tissue.genes)} cell types; learned from "
            f"patches of {size.cells} spots of days 4, 7 and 14; {size.held} patches of day 10 in every row."
        ),
        "parameters": model.num_parameters,
        "training": {"steps": size.training.steps, "plan": encode(size.training)},
        "sample_steps": size.steps,
        **scores,
    }


def _generated(
    model: Model, parts: dict[float, Tissue], transform: Expression, size: Stages, seed: int, spent: float
) -> Result:
    """Return the scores of generated patches of the held-out day and of the days before and after."""
    real = patches_of(parts[_DAY], 2 * size.held, size.cells, seed + 1, _centred)
    first, other = real[: size.held], real[size.held :]
    made = model.sample(
        size.held, like=first.replace(x=None), steps=size.steps, solver=DPMSolver(), seed=seed
    )
    before, after = (
        patches_of(parts[d], size.held, size.cells, seed + 2, _centred) for d in (_BEFORE, _AFTER)
    )
    half = size.held // 2
    rows = {
        "network at day 10": made,
        "day 7": before,
        "day 14": after,
        "days 7 and 14, half each": Graphs.collate([before[:half], after[half:]]),
    }
    return {"seconds": spent, "scores": _scores(rows, first, other, transform)}


def _centred(graphs: Graphs) -> Graphs:
    """Return positions relative to the centre of each patch; the day stays."""
    pos = graphs.pos.clone()
    for start, end in zip(graphs.ptr[:-1].tolist(), graphs.ptr[1:].tolist(), strict=True):
        pos[start:end, :-1] -= pos[start:end, :-1].mean(0)
    return graphs.replace(pos=pos, label=None, classes=())


def _model(unit: Graphs, transform: Expression, names: tuple[str, ...], size: Stages, seed: int) -> Model:
    found = Scaling.fit(unit, apart=(-1,))
    places, day = found.axis_scale[0], found.axis_scale[-1]
    scaling = Scaling(
        found.pos_mean,
        found.pos_scale,
        found.x_mean,
        found.x_scale,
        (*[places] * (unit.dim - 1), _SLOW * day),
    )
    with seeded(seed):
        net = SetTransformer(unit.dim, unit.features, unit.features, width=size.width, blocks=size.blocks)
        summary = DataSummary(scaling, feature_names=names)
        return Model(net, variable="x", transform=transform, summary=summary)


def _scores(
    rows: dict[str, Graphs], first: Graphs, other: Graphs, transform: Expression
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return the metrics of every row and of real patches, in standard deviations of the training spots."""
    both = transform.apply(Graphs.collate([first, other]))
    found = score_fields(
        {k: transform.apply(g) for k, g in rows.items()}, both, metrics=_METRICS, resamples=_RESAMPLES
    )
    out: dict[str, dict[str, dict[str, float | None]]] = {
        row: {m: {"value": s.value, "low": s.low, "high": s.high} for m, s in scores.items()}
        for row, scores in found.table.items()
    }
    reference = _values(transform.apply(other))
    compared = {**rows, "real": first}
    mean = first.replace(x=torch.zeros_like(_of(first)) + _of(other).mean(0))
    for row, graphs in {**compared, "mean": mean}.items():
        made = _values(transform.apply(graphs))
        out[row]["spots"] = spot_energy(made, reference)
    return out


def _of(graphs: Graphs) -> Tensor:
    assert graphs.x is not None
    return graphs.x


def _values(graphs: Graphs) -> list[Tensor]:
    return [x.double() for x in graphs.unpack(_of(graphs))]


def spot_energy(made: list[Tensor], real: list[Tensor]) -> dict[str, float | None]:
    """Return the energy distance of spots ``[n, f]`` by patch; 95 % interval by bootstrap over patches."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.cat(made), torch.cat(real)
    between, within = distances(a, b), (distances(a, a), distances(b, b))
    of_a, of_b = (
        torch.repeat_interleave(torch.arange(len(p)), torch.tensor([len(x) for x in p])) for p in (made, real)
    )

    def pooled(d: Tensor, i: Tensor, j: Tensor, m: int, k: int) -> Tensor:
        rows = torch.zeros(m, d.shape[1], dtype=d.dtype).index_add_(0, i, d)
        return torch.zeros(m, k, dtype=d.dtype).index_add_(1, j, rows)

    m, k = len(made), len(real)
    tables = (
        pooled(within[0], of_a, of_a, m, m),
        pooled(between, of_a, of_b, m, k),
        pooled(within[1], of_b, of_b, k, k),
    )
    size_a, size_b = torch.bincount(of_a).double(), torch.bincount(of_b).double()

    def value(u: Tensor, v: Tensor) -> float:
        n, o = float(u @ size_a), float(v @ size_b)
        return float(
            2 * (u @ tables[1] @ v) / (n * o) - (u @ tables[0] @ u) / n**2 - (v @ tables[2] @ v) / o**2
        )

    drawn = sorted(
        value(
            *(
                torch.bincount(torch.randint(c, (c,), generator=generator), minlength=c).double()
                for c in (m, k)
            )
        )
        for _ in range(200)
    )
    found = value(torch.ones(m, dtype=torch.float64), torch.ones(k, dtype=torch.float64))
    return {"value": found, "low": min(drawn[5], found), "high": max(drawn[194], found)}
