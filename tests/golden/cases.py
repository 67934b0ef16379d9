"""What today's version computes, as arrays: samples, completions, trainings and scores.

``python tests/golden/cases.py`` records them anew; do so only where a change of numbers is meant, and say
why.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import noisefold as nf
from noisefold.cli import app
from noisefold.eval import Scores, score_clouds, score_fields, score_posterior

Arrays = dict[str, NDArray[np.float64]]
FILE = Path(__file__).with_name("golden.npz")
TINY = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
SMALL = {"width": 16, "blocks": 1, "heads": 2}
SOLVERS = {
    "heun": nf.sample.Heun(),
    "dpm": nf.sample.DPMSolver(),
    "ancestral": nf.sample.Ancestral(),
    "ddim": nf.sample.DDIM(eta=0.3),
    "churn": nf.sample.StochasticHeun(),
    "langevin": nf.sample.Langevin(nf.sample.Euler()),
}


def clouds(count: int = 12, points: int = 24) -> nf.Graphs:
    return nf.data.shapes(count, points=points, families=("chair", "vase", "mug"))


def fields(count: int = 10, nodes: int = 20) -> nf.Graphs:
    """Two smooth features on scattered positions, of 15 to 20 nodes a graph."""
    generator = torch.Generator().manual_seed(5)
    sizes = [nodes - i % 6 for i in range(count)]
    pos = [torch.rand(n, 2, generator=generator) for n in sizes]
    phase = [torch.rand(2, generator=generator) * 6 for _ in sizes]
    x = [torch.stack([torch.sin(4 * p[:, 0] + a[0]), torch.cos(3 * p.sum(1) + a[1])], 1) * 2 + 1
         for p, a in zip(pos, phase, strict=True)]  # fmt: skip
    return nf.Graphs.ragged(pos, x)


def half(graphs: nf.Graphs) -> torch.Tensor:
    """Every third node unknown."""
    return torch.arange(graphs.num_nodes) % 3 > 0


def numbers(value: torch.Tensor) -> NDArray[np.float64]:
    return value.detach().double().numpy()


def values_of(scores: Scores) -> NDArray[np.float64]:
    """Every value of a table with its interval, ``[cells, 3]``; NaN where there is none."""
    cells = [cell for row in scores.rows for cell in scores[row].values()]
    return np.array([[c.value, c.low, c.high] for c in cells], dtype=float)


def weights(model: nf.Model) -> Arrays:
    state = model.net.state_dict()
    return {f"weights/{k}": numbers(v.flatten()[:4]) for k, v in state.items() if v.is_floating_point()}


def shipped() -> Arrays:
    model = nf.Model.from_pretrained("noisefold/shapes")
    out = {"pos": numbers(model.sample(3, nodes=48, steps=6, seed=3).pos)}
    for name, solver in SOLVERS.items():
        made = model.sample(
            2, nodes=32, steps=4, seed=1, solver=solver, labels=["chair", "vase"], guidance=1.5
        )
        out[name] = numbers(made.pos)
    known = clouds(2, 32)
    methods = (None, nf.sample.Replacement(), nf.sample.Repaint(2), nf.sample.LangevinCorrection(2),
               nf.sample.Reconstruction(iterations=1))  # fmt: skip
    for method in methods:
        done = model.complete(known, half(known), draws=2, steps=3, method=method, seed=4)
        out[f"complete-{type(method).__name__}"] = numbers(done.values)
    out["scores"] = values_of(model.evaluate(clouds(12, 32), draws=12, steps=2, seed=0))
    return out


def trained(make: Callable[[nf.Graphs], nf.Model], data: nf.Graphs, **settings: object) -> Arrays:
    """Weights after a few steps, of a run that was broken off and resumed, and a sample."""
    usual = {
        "batch": 4,
        "nodes": 16,
        "lr": 1e-2,
        "optimizer": "adamw",
        "warmup": 2,
        "ema": 0.8,
        "log_every": 2,
        "validate_every": 4,
    }
    how = {**usual, "checkpoint_every": 3, "device": "cpu", **settings}
    with tempfile.TemporaryDirectory() as folder:
        make(data).fit(data, data[:4], out=folder, steps=6, **how)
        model = make(data)
        model.fit(data, data[:4], out=folder, resume=True, steps=9, **how)
        losses = [e.get("val_loss", e.get("loss")) for e in nf.train.read_log(Path(folder) / "metrics.jsonl")]
        model = nf.Model.from_pretrained(folder)
    out = {**weights(model), "log": np.array(losses)}
    x = data.x is not None
    made = model.sample(3, like=data, steps=4, seed=2) if x else model.sample(3, steps=4, seed=2)
    out["sample"] = numbers(made.x if x else made.pos)
    return out


def latents() -> Arrays:
    return trained(lambda d: nf.Model.for_data(d, **TINY), clouds())


def coupled() -> Arrays:
    data = clouds().replace(label=None, classes=())
    coupling = nf.noise.WithinCloud("order", blend=0.2)
    return trained(lambda d: nf.Model.for_data(d, **TINY), data, coupling=coupling)


def dmp() -> Arrays:
    def make(data: nf.Graphs) -> nf.Model:
        torch.manual_seed(3)
        net = nf.nn.DMP(width=16, layers=2, pos_dim=3, out_dim=3)
        path = nf.noise.Gaussian(nf.noise.Cosine())
        return nf.Model(net, path, nf.noise.Target("noise", "min-snr"))

    return trained(make, clouds().replace(label=None, classes=()), coupling=nf.noise.MiniBatch())


def set_transformer() -> Arrays:
    data = fields()
    out = trained(lambda d: nf.Model.for_data(d, **SMALL), data)
    model = nf.Model.for_data(data, seed=1, **SMALL)
    methods = (None, nf.sample.Repaint(1), nf.sample.Reconstruction())
    for method in methods:
        done = model.complete(data[:3], half(data[:3]), draws=2, steps=3, method=method, seed=4)
        out[f"complete-{type(method).__name__}"] = numbers(done.values)
    return out


def gp_noise() -> Arrays:
    kernel = nf.noise.Stationary(nf.theory.SquaredExponential(length=0.5), 0.9) + nf.noise.Nugget(0.1)
    path = nf.noise.Gaussian(nf.noise.VP(), nf.noise.GPNoise(kernel))

    def make(data: nf.Graphs) -> nf.Model:
        torch.manual_seed(3)
        net = nf.nn.SetTransformer(pos_dim=2, features=2, out_dim=2, **SMALL)
        return nf.Model(net, path, "data", variable="x")

    return trained(make, fields())


def kriged() -> Arrays:
    data = fields()
    made = []

    def make(graphs: nf.Graphs) -> nf.Model:
        made.append(nf.Model.for_data(graphs, for_completion=True, independent_samples=1, **SMALL))
        return made[-1]

    plain = nf.Training(masks=nf.train.Masks(("nothing", "entries", "features", "region")))
    out = trained(make, data, settings=plain)
    model = made[-1]
    known = torch.rand(data.x.shape, generator=torch.Generator().manual_seed(0)) < 0.6
    done = model.complete(data[:3], known[: data[:3].num_nodes], draws=3, steps=4, seed=6)
    out["complete"] = numbers(done.values)
    return out


def scores() -> Arrays:
    a, b, c = (nf.data.shapes(10, points=20, seed=s) for s in range(3))
    data, generator = fields(12), torch.Generator().manual_seed(2)
    draws = data.x + torch.randn(12, *data.x.shape, generator=generator)
    known = torch.rand(data.x.shape, generator=generator) < 0.5
    judged = score_posterior(draws, data.x, known, data, levels=(0.5,))
    return {
        "clouds": values_of(score_clouds(a, b, c, seed=1)),
        "fields": values_of(score_fields(data[::2], data, data[1::2], seed=1)),
        "draws": np.array([judged[m.name].value for m in judged.metrics]),
    }


def tissue() -> Arrays:
    """What the command line makes of a small .h5ad file: trained weights, then layers filled in."""
    anndata = pytest.importorskip("anndata")
    rng = np.random.default_rng(3)
    pos = rng.random((150, 2)) * 100
    rate = np.exp(1 + np.sin(pos[:, :1] / 20 + np.arange(6)))
    counts = rng.poisson(rate).astype(np.float32)
    data = anndata.AnnData(counts)
    data.var_names = [f"gene{i}" for i in range(6)]
    data.obsm["spatial"] = pos
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        source, run, filled = (Path(folder, name) for name in ("a.h5ad", "run", "filled.h5ad"))
        data.write_h5ad(source)
        options = ["-o", "training.device=cpu", "-o", "training.batch=3", "--patch", "60", "--steps", "3"]
        for name, words in (
            ("few", ["train", source, "--out", run, "--for-completion", *options]),
            ("many", ["train", source, "--out", f"{run}2", *options]),
        ):
            command([str(w) for w in words])
            out |= {f"{name}/{k}": v for k, v in weights(nf.Model.from_pretrained(words[3])).items()}
        command(["complete", str(run), str(source), "--out", str(filled), "--draws", "3", "--steps", "3",
                 "--genes", "gene1,gene4", "--region", "x<40"])  # fmt: skip
        layers = anndata.read_h5ad(filled).layers
        out |= {f"layer/{k}": np.asarray(v, dtype=float) for k, v in layers.items()}
    return out


def command(words: list[str]) -> None:
    """Run the command line in this process."""
    with pytest.raises(SystemExit) as done:
        app(words)
    assert done.value.code in (0, None)


CASES: dict[str, Callable[[], Arrays]] = {
    f.__name__: f for f in (shipped, latents, coupled, dmp, set_transformer, gp_noise, kriged, tissue, scores)
}


def compute() -> Arrays:
    torch.set_num_threads(1)
    return {f"{name}/{k}": v for name, case in CASES.items() for k, v in case().items()}


if __name__ == "__main__":
    np.savez_compressed(FILE, **{k: v.astype(np.float64) for k, v in compute().items()})
