"""Real spatial transcriptomics: missing values of a tissue, drawn, and scored beside kriging and regression.

Three tissues are divided into training cells and whole held-out blocks of cells. One network for each learns
from random masks; then blocks are hidden, genes unmeasured, values missing, and draws of what is missing are
scored against the truth, beside what a biologist would do without a generative model. A fourth part leaves
out a stage of the chick heart, and generates it from its time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import encode
from noisefold.eval import (
    Baseline,
    FeatureKNN,
    Kriging,
    MarginalNormal,
    PosteriorScores,
    Regression,
    SpatialKNN,
    morans_i,
    score_posterior,
)
from noisefold.geometry import DataSummary, Graphs
from noisefold.model import Model
from noisefold.nn import KrigingResidual, SetTransformer
from noisefold.noise import Features, seeded
from noisefold.sample import Completion, DPMSolver
from noisefold.studies.kit.datasets import data_folder
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import mean_and_error
from noisefold.studies.transcriptomics.tissue_blocks import QUESTIONS, SUBJECTS, HeldOut, held_out
from noisefold.studies.transcriptomics.tissue_stages import Stages, stages
from noisefold.studies.transcriptomics.tissues_report import figure, maps, table
from noisefold.train import Masks, Training
from noisefold.train.device import fast_precision

__all__ = ["SCALES", "STUDY", "measure"]

NETWORK, START = "network", "its start"
_BASELINES: dict[str, Baseline] = {
    "mean": MarginalNormal(),
    "nearest cells": SpatialKNN(),
    "kriging": Kriging(),
    "k-NN in expression": FeatureKNN(),
    "regression on genes": Regression(),
    "regression on genes and place": Regression(place=True),
}


@dataclass(frozen=True)
class Size:
    """How one tissue is learned and completed.

    Parameters
    ----------
    training
        Settings of the training.
    cells, patches
        Cells of a patch, and patches to learn from.
    held
        Held-out blocks that are completed.
    width, blocks
        Of the network.
    draws, steps
        Posterior draws, and solver steps for each.
    kernels
        Covariances in space (`noisefold.nn.KrigingResidual`).
    """

    training: Training
    cells: int = 200
    patches: int = 1000
    held: int = 8
    width: int = 96
    blocks: int = 2
    draws: int = 20
    steps: int = 20
    kernels: int = 5


def _training(
    steps: int, batch: int = 8, kinds: Sequence[str] = ("region", "features", "region"), **more: Any
) -> Training:
    return Training(
        **{
            "steps": steps,
            "batch": batch,
            "lr": 1e-3,
            "warmup": 30,
            "weight_decay": 0.05,
            "ema": 0.98,
            "masks": Masks(tuple(kinds)) if kinds else None,
            "precision": fast_precision(),
            "validate_every": 10**9,
            "checkpoint_every": 50,
            "log_every": 25,
            "keep": 1,
            **more,
        }
    )


@dataclass(frozen=True)
class Scale:
    """A size for each tissue, and for the stages; cells (None for all) and steps of one whole draw."""

    tissues: dict[str, Size]
    stages: Stages
    whole: tuple[int | None, int]


_PATCH = 200  # cells of the tiles in which a whole tissue is drawn
_FLY = ("entries", "features", "region", "region")
SCALES = {
    "smoke": Scale(
        dict.fromkeys(SUBJECTS, Size(_training(2, 2, warmup=1), 60, 4, 2, 16, 1, 20, 2, 2)),
        Stages(_training(2, 2, (), warmup=1), 60, 6, 4, 16, 1, 2),
        (300, 2),
    ),
    "short": Scale(
        {
            "fly": Size(_training(150, kinds=_FLY)),
            "mouse": Size(_training(800), patches=600, width=128),
            "cortex": Size(_training(900)),
        },
        Stages(_training(400, 8, ()), 100, 800, 18, 96, 2, 20),
        (None, 8),
    ),
    "paper": Scale(
        {
            "fly": Size(_training(20_000, 32, _FLY, ema=0.999), 256, 2000, 20, 192, 4, 99, 20, 12),
            "mouse": Size(_training(20_000, 32, ema=0.999), 256, 2000, 50, 384, 4, 99, 20, 12),
            "cortex": Size(_training(20_000, 32, ema=0.999), 256, 2000, 50, 192, 4, 99, 20, 12),
        },
        Stages(_training(20_000, 32, (), ema=0.999), 256, 4000, 28, 192, 4, 25),
        (None, 20),
    ),
}


def measure(run: Run[Scale], tissues: Sequence[str] | None = None) -> Result:
    """Return for every tissue what it is and the scores of all questions; missing files under "missing".

    Parameters
    ----------
    run
        The run.
    tissues
        These alone, of "fly", "mouse", "cortex" and "chick"; None means all.

    Raises
    ------
    ValueError
        If a name is unknown, or no file is there at all.
    """
    known = (*SUBJECTS, "chick")
    unknown = [name for name in tissues or () if name not in known]
    if unknown:
        raise ValueError(f"tissues has {unknown[0]!r}; known are {', '.join(known)}.")
    results = {
        name: stages(run, name, run.size.stages) if name == "chick" else _tissue(run, name)
        for name in tissues or known
    }
    found = {name: result for name, result in results.items() if result is not None}
    if not found:
        raise ValueError(
            f"this study needs the tissues of spatial_omics/ in $NOISEFOLD_DATA or {data_folder()}, and none "
            "is there."
        )
    return {
        "seed": run.seed,
        "tissues": found,
        "missing": [name for name in results if name not in found],
        "questions": dict(QUESTIONS),
    }


def _tissue(run: Run[Scale], name: str) -> Result | None:
    size, out = run.size.tissues[name], run.folder / name
    blocks = held_out(SUBJECTS[name], size.cells, size.patches, size.held, run.seed)
    if blocks is None:
        return None
    model = _model(blocks, size, run.seed)
    start = time.process_time()
    model.fit(blocks.patches, settings=size.training, out=out / "run", resume=True)
    spent = {"seconds": time.process_time() - start, "steps": size.training.steps}
    answers = {
        question: run.cached(
            f"{name}/{question}",
            partial(_asked, out, blocks, model, size, name, question, run.seed),
            data=blocks.about,
        )
        for question in SUBJECTS[name].questions
    }
    whole = partial(_whole, blocks, model, run.size.whole, run.seed)
    return {
        "title": SUBJECTS[name].title,
        "about": blocks.about,
        "parameters": model.num_parameters,
        "training": {**run.cached(f"{name}/training", lambda: spent), "plan": encode(size.training)},
        "draws": size.draws,
        "sample_steps": size.steps,
        "questions": answers,
        "whole": run.cached(f"{name}/whole", whole) if name == "mouse" else None,
    }


def _model(blocks: HeldOut, size: Size, seed: int) -> Model:
    genes, dim = blocks.patches.features, blocks.patches.dim
    with seeded(seed):
        inner = SetTransformer(dim, 4 * genes, genes, width=size.width, blocks=size.blocks)
        net = KrigingResidual(inner, genes, dim, size.kernels)
        model = Model(
            net,
            variable="x",
            for_completion=True,
            transform=blocks.transform,
            summary=DataSummary(blocks.scaling, feature_names=blocks.train.genes),
            tile=_PATCH,
        )
    net.learn(model.units.apply(blocks.patches[:64]))
    return model


# -- questions -----------------------------------------------------------------------------------------------


def _asked(
    out: Path, blocks: HeldOut, model: Model, size: Size, name: str, question: str, seed: int
) -> Result:
    known, test = blocks.known(question), blocks.test
    assert test.x is not None
    truth, genes = blocks.unit(test.x), blocks.train.genes
    seconds: dict[str, float] = {}

    def timed(row: str, draw: Callable[[], Any]) -> Any:
        start = time.process_time()
        values = draw()
        seconds[row] = time.process_time() - start
        return values

    options: dict[str, Any] = {"draws": size.draws, "steps": size.steps, "solver": DPMSolver(), "seed": seed}
    answer = timed(NETWORK, lambda: model.complete(test, known, **options))
    draws = {NETWORK: answer.values, START: _start(model, blocks, known, size.draws, seed)}
    cells, unit = blocks.transform.apply(blocks.train.graphs()), test.replace(x=truth)
    for row, baseline in _BASELINES.items():

        def drawn(baseline: Baseline = baseline) -> Tensor:
            return blocks.data_units(baseline.fit(cells).draw(unit, known, size.draws, seed))

        draws[row] = timed(row, drawn)
    units = {row: torch.stack([blocks.unit(v) for v in values]) for row, values in draws.items()}
    rows = {row: _score(values, truth, known, blocks) for row, values in units.items()}
    _maps(out, blocks, answer, known, truth, name, question)
    return {
        "rows": {row: scores.to_dict() for row, scores in rows.items()},
        "over": {
            row: {m: asdict(rows[NETWORK].minus(scores, m)) for m in ("CRPS", "energy")}
            for row, scores in rows.items()
            if row != NETWORK
        },
        "moran": {
            row: _moran(values, known, blocks) for row, values in {**units, "truth": truth[None]}.items()
        },
        "unknown": int((~known).sum()),
        "genes": [g for g, hidden in zip(genes, (~known).any(0).tolist(), strict=True) if hidden],
        "seconds": seconds,
    }


def _score(units: Tensor, truth: Tensor, known: Tensor, blocks: HeldOut) -> PosteriorScores:
    """Return the scores of draws ``[m, n, f]``, in standard deviations of the training cells."""
    return score_posterior(units, truth, known, blocks.test, names=blocks.train.genes, unit="sd")


def _moran(units: Tensor, known: Tensor, blocks: HeldOut) -> list[float]:
    """Return Moran's I of features with unknown values in held-out cells: mean over blocks, and its error."""
    hidden = (~known).any(0)
    parts = [rows.nonzero().view(-1) for rows in blocks.test.unpack(blocks.core)]
    places = [pos[rows] for pos, rows in zip(blocks.test.unpack(), parts, strict=True)]
    found = []
    for values in units:
        x = [v[rows][:, hidden] for v, rows in zip(blocks.test.unpack(values), parts, strict=True)]
        found.append(morans_i(Graphs.ragged(places, x)).mean(1))
    return list(mean_and_error(torch.stack(found).mean(0).tolist()))


def _start(model: Model, blocks: HeldOut, known: Tensor, draws: int, seed: int) -> Tensor:
    """Return independent draws, value by value, from the prediction that the network begins with."""
    unit = model.units.apply(blocks.test)
    assert isinstance(model.net, KrigingResidual)
    assert unit.x is not None
    predicted = model.net.eval().distribution(unit, unit.x, known)
    drawn = predicted.draw(draws, torch.Generator().manual_seed(seed))
    return blocks.data_units(torch.where(known, unit.x, drawn))


def _maps(
    out: Path, blocks: HeldOut, answer: Completion, known: Tensor, truth: Tensor, name: str, question: str
) -> None:
    """Return maps of the largest block for the chosen or the first hidden genes, in standard deviations."""
    hidden = (~known).any(0)
    units = torch.stack([blocks.unit(v) for v in answer.values])
    shown = Completion(blocks.test.replace(x=truth), Features(), known, units)
    genes = [g for g in SUBJECTS[name].shown if hidden[blocks.train.genes.index(g)]]
    genes += [g for g, h in zip(blocks.train.genes, hidden.tolist(), strict=True) if h and g not in genes]
    maps(out, shown, blocks.train.genes, genes[:3], question)


def _whole(blocks: HeldOut, model: Model, limits: tuple[int | None, int], seed: int) -> Result:
    """Return the time of one posterior draw of all training cells, with a fifth of the genes hidden."""
    cells, steps = limits
    tissue = blocks.train if cells is None else blocks.train.part(blocks.train.order[:cells])
    graphs = tissue.graphs()
    known = torch.ones(len(tissue), len(tissue.genes), dtype=torch.bool)
    known[:, ::5] = False
    wall, cpu = time.perf_counter(), time.process_time()
    model.complete(graphs, known, draws=1, keep=False, steps=steps, solver=DPMSolver(), seed=seed)
    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    return {"cells": len(tissue), "genes": len(tissue.genes), **spent}


STUDY = Experiment("tissue", SCALES, written(measure, table, figure))
