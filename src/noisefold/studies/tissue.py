"""Real spatial transcriptomics: what is missing of a tissue, drawn, and judged beside kriging and regression.

Three tissues are cut into cells that are learned from and whole blocks of cells that are held out. One
network for each learns from random masks; then blocks are torn out, genes unmeasured, values missing, and
draws of what is missing are judged against the truth, beside what a biologist would do without a generative
model. A fourth part leaves out a stage of the chick heart, and asks for it by its time.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noisefold.configuration import encode
from noisefold.eval.baselines import Baseline, FeatureKNN, MarginalNormal, SpatialKNN
from noisefold.eval.kriging import Kriging
from noisefold.eval.posterior_scores import PosteriorScores, score_posterior
from noisefold.eval.regression import Regression
from noisefold.eval.spatial_statistics import morans_i
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.prior.kriging_residual import KrigingResidual
from noisefold.nn.set_transformer import SetTransformer
from noisefold.noise.source import seeded
from noisefold.sample.completion import Completion
from noisefold.sample.solver import DPMSolver
from noisefold.studies.cells import one_thread, read
from noisefold.studies.data import data_folder
from noisefold.studies.study import Study, keep
from noisefold.studies.tables import mean_and_error
from noisefold.studies.tissue_figures import figure, maps, table
from noisefold.studies.tissue_ground import QUESTIONS, SUBJECTS, Ground, ground
from noisefold.studies.tissue_stages import Stages, stages
from noisefold.tissues import complete_tissue
from noisefold.train.checkpoint import atomic_text
from noisefold.train.masks import Masks
from noisefold.train.settings import Training

__all__ = ["SCALES", "TISSUE", "run"]

NAME = "tissue"
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
    """How one tissue is learned and asked about.

    Parameters
    ----------
    training
        Settings of the training.
    cells, patches
        Cells of a patch, and patches to learn from.
    held
        Held-out blocks that are asked about.
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
            "precision": "bfloat16",
            "validate_every": 10**9,
            "checkpoint_every": 50,
            "log_every": 25,
            "keep": 1,
            **more,
        }
    )


_SMOKE = Size(_training(2, 2, warmup=1), 60, 4, 2, 16, 1, 20, 2, 2)
_FLY = ("entries", "features", "region", "region")
SCALES: dict[str, dict[str, Any]] = {
    "smoke": {
        **dict.fromkeys(SUBJECTS, _SMOKE),
        "chick": Stages(_training(2, 2, (), warmup=1), 60, 6, 4, 16, 1, 2),
        "whole": (300, 2),
    },
    "short": {
        "fly": Size(_training(150, kinds=_FLY)),
        "mouse": Size(_training(800), patches=600, width=128),
        "cortex": Size(_training(900)),
        "chick": Stages(_training(400, 8, ()), 100, 800, 18, 96, 2, 20),
        "whole": (None, 8),
    },
    "paper": {
        "fly": Size(_training(20_000, 32, _FLY, ema=0.999), 256, 2000, 20, 192, 4, 99, 20, 12),
        "mouse": Size(_training(20_000, 32, ema=0.999), 256, 2000, 50, 384, 4, 99, 20, 12),
        "cortex": Size(_training(20_000, 32, ema=0.999), 256, 2000, 50, 192, 4, 99, 20, 12),
        "chick": Stages(_training(20_000, 32, (), ema=0.999), 256, 4000, 28, 192, 4, 25),
        "whole": (None, 20),
    },
}


def run(out: Path, scale: str, seed: int = 0, tissues: Sequence[str] | None = None) -> dict[str, Any]:
    """Run the study, or go on with it.

    Parameters
    ----------
    out
        Folder of trainings, answers and maps; finished ones are not repeated.
    scale
        "smoke", "short" or "paper".
    seed
        Of the cuts, first weights, trainings and draws.
    tissues
        These alone, of "fly", "mouse", "cortex" and "chick"; None means all.

    Returns
    -------
    dict
        Plain data: for every tissue what it is and the scores of all questions; tissues whose file is not in
        the data folder are named under "missing".

    Raises
    ------
    ValueError
        If a name is unknown, or no file is there at all.
    """
    if scale not in SCALES:
        raise ValueError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}.")
    known = (*SUBJECTS, "chick")
    unknown = [name for name in tissues or () if name not in known]
    if unknown:
        raise ValueError(f"tissues has {unknown[0]!r}; known are {', '.join(known)}.")
    sizes, found, missing = SCALES[scale], {}, []
    with one_thread():
        for name in tissues or known:
            if name == "chick":
                result = stages(out / name, sizes[name], seed)
            else:
                result = _tissue(out / name, name, sizes, seed)
            if result is None:
                missing.append(name)
            else:
                found[name] = result
    if not found:
        raise ValueError(
            f"this study needs the tissues of spatial_omics/ in $NOISEFOLD_DATA or {data_folder()}, and none "
            "is there."
        )
    return {
        "name": NAME,
        "scale": scale,
        "seed": seed,
        "tissues": found,
        "missing": missing,
        "questions": dict(QUESTIONS),
    }


def _tissue(out: Path, name: str, sizes: dict[str, Any], seed: int) -> dict[str, Any] | None:
    size: Size = sizes[name]
    land = ground(SUBJECTS[name], size.cells, size.patches, size.held, seed)
    if land is None:
        return None
    model = _model(land, size, seed)
    start = time.process_time()
    model.fit(
        land.patches,
        settings=size.training,
        out=out / "run",
        resume=True,
    )
    spent = time.process_time() - start
    note = out / "training.json"
    if not note.is_file():
        atomic_text(note, json.dumps({"seconds": spent, "steps": size.training.steps}))
    answers = {
        q: _asked(out / f"{q}.json", out, land, model, size, name, q, seed) for q in SUBJECTS[name].questions
    }
    whole = _whole(out / "whole.json", land, model, sizes["whole"], seed) if name == "mouse" else None
    return {
        "title": SUBJECTS[name].title,
        "about": land.about,
        "parameters": model.num_parameters,
        "training": {**read(note), "plan": encode(size.training)},
        "draws": size.draws,
        "sample_steps": size.steps,
        "questions": answers,
        "whole": whole,
    }


def _model(land: Ground, size: Size, seed: int) -> Model:
    genes, dim = land.patches.features, land.patches.dim
    with seeded(seed):
        inner = SetTransformer(dim, 4 * genes, genes, width=size.width, blocks=size.blocks)
        net = KrigingResidual(inner, genes, dim, size.kernels)
        model = Model(
            net,
            variable="x",
            for_completion=True,
            transform=land.transform,
            scaling=land.scaling,
            feature_names=land.train.genes,
        )
    net.learn(model.units.apply(land.patches[:64]))
    return model


# -- questions -----------------------------------------------------------------------------------------------


def _asked(
    file: Path, out: Path, land: Ground, model: Model, size: Size, name: str, question: str, seed: int
) -> dict[str, Any]:
    if file.is_file():
        return read(file)
    known = land.known(question)
    x = land.test.x
    assert x is not None
    truth, genes = land.unit(x), land.train.genes
    start = time.process_time()
    answer = model.complete(
        land.test, known, draws=size.draws, steps=size.steps, solver=DPMSolver(), seed=seed
    )
    seconds = {NETWORK: time.process_time() - start}
    draws = {NETWORK: answer.values, START: _start(model, land, known, size.draws, seed)}
    cells = land.transform.apply(land.train.graphs())
    unit = land.test.replace(x=truth)
    for row, baseline in _BASELINES.items():
        start = time.process_time()
        drawn = baseline.fit(cells).draw(unit, known, size.draws, seed)
        draws[row] = _back(land, drawn)
        seconds[row] = time.process_time() - start
    units = {row: torch.stack([land.unit(v) for v in values]) for row, values in draws.items()}
    rows = {row: _score(values, truth, known, land) for row, values in units.items()}
    result = {
        "rows": {row: scores.to_dict() for row, scores in rows.items()},
        "over": {
            row: {m: asdict(rows[NETWORK].minus(scores, m)) for m in ("CRPS", "energy")}
            for row, scores in rows.items()
            if row != NETWORK
        },
        "moran": {
            row: _moran(values, known, land) for row, values in {**units, "truth": truth[None]}.items()
        },
        "unknown": int((~known).sum()),
        "genes": [g for g, hidden in zip(genes, (~known).any(0).tolist(), strict=True) if hidden],
        "seconds": seconds,
    }
    _maps(out, land, answer, known, truth, name, question)
    atomic_text(file, json.dumps(result, indent=1))
    return result


def _score(units: Tensor, truth: Tensor, known: Tensor, land: Ground) -> PosteriorScores:
    """Scores of draws ``[m, n, f]``, judged in standard deviations of the training cells."""
    return score_posterior(units, truth, known, land.test, names=land.train.genes, unit="sd")


def _moran(units: Tensor, known: Tensor, land: Ground) -> list[float]:
    """Moran's I among the held-out cells of features with unknown values: mean over blocks, its error."""
    hidden = (~known).any(0)
    parts = [rows.nonzero().view(-1) for rows in land.test.unpack(land.core)]
    places = [pos[rows] for pos, rows in zip(land.test.unpack(), parts, strict=True)]
    found = []
    for values in units:
        x = [v[rows][:, hidden] for v, rows in zip(land.test.unpack(values), parts, strict=True)]
        found.append(morans_i(Graphs.ragged(places, x)).mean(1))
    return list(mean_and_error(torch.stack(found).mean(0).tolist()))


def _back(land: Ground, units: Tensor) -> Tensor:
    """Draws in the data's units, which are never below zero where data are not."""
    made = []
    for value in units:
        x = land.transform.undo(land.test.replace(x=value)).x
        assert x is not None
        made.append(x)
    return torch.stack(made)


def _start(model: Model, land: Ground, known: Tensor, draws: int, seed: int) -> Tensor:
    """Draws, value by value, of the prediction that the network begins with."""
    unit = model.units.apply(land.test)
    assert isinstance(model.net, KrigingResidual)
    assert unit.x is not None
    law = model.net.eval().distribution(unit, unit.x, known)
    drawn = law.draw(draws, torch.Generator().manual_seed(seed))
    return _back(land, torch.where(known, unit.x, drawn))


def _maps(
    out: Path, land: Ground, answer: Completion, known: Tensor, truth: Tensor, name: str, question: str
) -> None:
    """Maps of the largest block in standardised units, of the genes that are named or else hidden first."""
    hidden = (~known).any(0)
    units = torch.stack([land.unit(v) for v in answer.values])
    shown = Completion(land.test.replace(x=truth), "x", known, units)
    genes = [g for g in SUBJECTS[name].shown if hidden[land.train.genes.index(g)]]
    genes += [g for g, h in zip(land.train.genes, hidden.tolist(), strict=True) if h and g not in genes]
    maps(out, shown, land.train.genes, genes[:3], question)


def _whole(
    file: Path, land: Ground, model: Model, limits: tuple[int | None, int], seed: int
) -> dict[str, Any]:
    """Time of one posterior draw of all training cells and genes, a fifth of the genes being hidden.

    `limits` are the cells, None for all, and the steps of the solver.
    """
    if not file.is_file():
        cells, steps = limits
        tissue = land.train if cells is None else land.train.part(land.train.order[:cells])
        known = torch.ones(len(tissue), len(tissue.genes), dtype=torch.bool)
        known[:, ::5] = False
        wall, cpu = time.perf_counter(), time.process_time()
        complete_tissue(model, tissue, known, draws=1, patch=200, steps=steps, solver=DPMSolver(), seed=seed)
        spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
        atomic_text(file, json.dumps({"cells": len(tissue), "genes": len(tissue.genes), **spent}))
    return read(file)


def _study(out: Path, scale: str, seed: int) -> list[Path]:
    result = run(out / scale, scale, seed)
    return keep(out, NAME, scale, result, table(result), figure(result))


TISSUE = Study(
    "real tissues: torn regions, unmeasured genes, missing values, a stage between stages",
    tuple(SCALES),
    _study,
)
