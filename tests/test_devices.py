"""Every network trains, resumes, samples, completes, scores and loads on a device that refuses CPU tensors.

The device is pretended (`pretend`), in a process of its own, since a backend stays registered. It computes
what the CPU does, so that results must be the CPU's, gradients among them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import networkx as nx
import pytest
import torch
from torch import Tensor

import noisefold as nf
import noisefold.testing
from noisefold.nn import DMP, ExpertDenoisers, GraphTransformer, KrigingResidual, Latents, SetTransformer

HERE = Path(__file__).parent
SMALL = {"width": 8, "blocks": 1, "heads": 2}
TINY = {"width": 8, "latents": 4, "latent_width": 8, "rounds": 1, "blocks": 1, "heads": 2}
HOW = {
    "steps": 2,
    "batch": 3,
    "warmup": 1,
    "log_every": 1,
    "validate_every": 2,
    "checkpoint_every": 1,
    "ema": 0.5,
}
METRICS = {"pos": ("MMD-CD",), "x": ("marginal-W1",), "types": ("degree",)}
Result = dict[str, Tensor]


def clouds(classes: int = 2) -> nf.Graphs:
    random = torch.Generator().manual_seed(0)
    label = torch.arange(6) % 2 if classes else None
    pos = [torch.randn(n, 3, generator=random) for n in (5, 7, 4, 7, 6, 5)]
    return nf.Graphs.ragged(pos, label=label, classes=("a", "b") if classes else ())


def fields() -> nf.Graphs:
    random = torch.Generator().manual_seed(1)
    pos = [torch.rand(n, 2, generator=random) for n in (5, 7, 4, 7, 6, 5)]
    return nf.Graphs.ragged(pos, [torch.sin(4 * p) + p.sum(1, keepdim=True) for p in pos])


def typed() -> nf.Graphs:
    """Rings and paths with types."""
    parts = [nf.Graphs.from_networkx((nx.cycle_graph if i % 2 else nx.path_graph)(4 + i)) for i in range(4)]
    graphs = nf.Graphs.collate(parts)
    edges = graphs.edge_index.sum(0) % 2  # the same in both directions
    nodes = torch.arange(graphs.num_nodes) % 2
    named = {"node_types": ("a", "b"), "edge_types": ("s", "d"), "classes": ("a", "b")}
    return graphs.replace(node_type=nodes, edge_type=edges, label=torch.arange(4) % 2, **named)


def gp_path() -> nf.noise.Gaussian:
    kernel = nf.noise.Stationary(nf.theory.SquaredExponential(0.5), 0.9) + nf.noise.Nugget(0.1)
    return nf.noise.Gaussian(source=nf.noise.GPNoise(kernel))


NETS: dict[str, tuple[Callable[[], nf.Model], Callable[[], nf.Graphs]]] = {
    "latents": (lambda: nf.Model(Latents(classes=2, **TINY)), clouds),
    "set transformer": (lambda: nf.Model(SetTransformer(classes=2, **SMALL)), clouds),
    **{
        f"dmp {conv}": (
            lambda conv=conv: nf.Model(DMP(classes=2, width=8, layers=2, conv=conv)),
            clouds,
        )
        for conv in ("gat", "gcn", "edge")
    },
    "dmp paper": (lambda: nf.Model(DMP.paper("pos", width=8)), lambda: clouds(0)),
    "experts": (
        lambda: nf.Model(ExpertDenoisers([Latents(**TINY), SetTransformer(**SMALL)], (0.5,))),
        lambda: clouds(0),
    ),
    "fields": (
        lambda: nf.Model(
            SetTransformer(2, features=4, out_dim=2, **SMALL), variable="x", for_completion=True
        ),
        fields,
    ),
    "gp noise": (
        lambda: nf.Model(SetTransformer(2, features=2, out_dim=2, **SMALL), gp_path(), variable="x"),
        fields,
    ),
    "kriging": (
        lambda: nf.Model(
            KrigingResidual(SetTransformer(2, features=8, out_dim=2, **SMALL), 2, 2, kernels=2),
            variable="x",
            for_completion=True,
        ),
        fields,
    ),
    "graphs": (
        lambda: nf.Model(
            GraphTransformer(2, 3, width=8, pair_width=4, layers=1, heads=2, classes=2),
            nf.noise.Discrete((0.6, 0.4), (0.5, 0.3, 0.2)),
            nf.noise.Classes(),
            "types",
        ),
        typed,
    ),
}


def made(name: str, device: str) -> tuple[nf.Model, nf.Graphs]:
    make, data = NETS[name]
    torch.manual_seed(0)
    model, graphs = make(), data()
    model.summary = nf.geometry.DataSummary.fit(graphs, model.transform)
    nf.testing.perturbed(model.net)
    if name == "kriging":
        model.net.learn(model.units.apply(graphs))
    return model.to(device), graphs


def fit(name: str, device: str) -> Result:
    """Train, break off, resume, and load what was saved."""
    model, graphs = made(name, device)
    with tempfile.TemporaryDirectory() as folder:
        model.fit(graphs, graphs[:2], out=folder, device=device, **HOW)
        again, _ = made(name, device)
        again.fit(graphs, graphs[:2], out=folder, resume=True, device=device, **{**HOW, "steps": 3})
        loaded = nf.Model.from_pretrained(f"{folder}/model", device=device)
    assert again.device.type == loaded.device.type == torch.device(device).type
    return {**loaded.net.state_dict(), **values(sampled(loaded, graphs))}


def sampled(model: nf.Model, graphs: nf.Graphs, **how: Any) -> nf.Graphs:
    """Samples, which lie where the given graphs do, or on the CPU."""
    like = {"like": graphs} if model.variable.positions_given else {}
    made = model.sample(2, steps=2, **like, **how)
    assert made.device == graphs.device == torch.device("cpu")
    return made


def values(graphs: nf.Graphs) -> Result:
    if graphs.node_type is not None:
        return {"node_type": graphs.node_type, "edge_index": graphs.edge_index, "edge_type": graphs.edge_type}
    return {"pos": graphs.pos, **({} if graphs.x is None else {"x": graphs.x})}


def sample(name: str, device: str) -> Result:
    """Each solver; classes and guidance where there are any."""
    model, graphs = made(name, device)
    solvers = (nf.sample.DPMSolver(), nf.sample.Langevin(nf.sample.StochasticHeun()))
    if name == "graphs":
        flow = nf.sample.DiscreteFlow()
        solvers = (nf.sample.D3PM(), nf.sample.Renoising(), nf.sample.Constrained(flow, "tree"))
    how = {"guidance": 1.5, "labels": ["a", "b"]} if model.conditional else {}
    out = {}
    for solver in solvers:
        out |= {f"{solver}/{k}": v for k, v in values(sampled(model, graphs, solver=solver, **how)).items()}
    return out


def complete(name: str, device: str) -> Result:
    """Each way of conditioning that fits."""
    model, graphs = made(name, device)
    known = torch.arange(graphs.num_nodes) % 3 > 0
    methods: list[Any] = [None, nf.sample.Replacement(), nf.sample.Repaint(1)]
    if name == "graphs":
        found = [model.complete(graphs, known, draws=2, steps=2, method=m) for m in methods]
        return {str(i): f.probabilities.pairs for i, f in enumerate(found)}
    if name != "gp noise":
        methods += [nf.sample.LangevinCorrection(1), nf.sample.Reconstruction(iterations=1)]
    done = [model.complete(graphs, known, draws=2, steps=2, method=m).values for m in methods]
    return {str(i): v for i, v in enumerate(done)}


def score(name: str, device: str) -> Result:
    """Scores, and skill by noise level."""
    model, graphs = made(name, device)
    graphs = nf.Graphs.collate([graphs, graphs])
    scores = model.evaluate(graphs, steps=2, metrics=METRICS[model.variable.name])
    cells = [cell.value for row in scores.rows for cell in scores[row].values()]
    skill = model.skill(graphs, levels=2)
    return {"scores": torch.tensor(cells), "skill": torch.tensor([skill.explained, skill.error])}


def likelihood(name: str, device: str) -> Result:
    """Exact, estimated, and the bound."""
    model, graphs = made(name, device)
    unit = model.units.apply(graphs).to(device)
    near = (1.0, -1.0)  # a short way, so that one step does not blow up roundings
    methods = (
        nf.sample.ProbabilityFlow(1, log_snr=near),
        nf.sample.ProbabilityFlow(1, 2, 0, near),
        nf.sample.EvidenceBound(1, 2, near),
    )
    if name == "graphs":
        methods = (nf.sample.ChainBound(2, 2),)
    found = [nf.sample.log_prob(model.path, model.denoiser, unit, method=m) for m in methods]
    return {str(i): f.value for i, f in enumerate(found)}


PATHS = [fit, sample, complete, score, likelihood]
CASES = [f"{path.__name__} {name}" for name in NETS for path in PATHS]
# Networks of each kind sample, and everything else is done once; everything of every network takes minutes.
ONCE = ("fit fields", "fit graphs", "complete latents", "score latents", "likelihood fields")
LATER = tuple(f"sample {n}" for n in ("dmp gat", "dmp gcn", "dmp paper", "experts", "gp noise", "kriging"))
FAST = [case for case in CASES if case in ONCE or (case.startswith("sample ") and case not in LATER)]


def error_of(case: str) -> str:
    """What goes wrong on the pretended device, "" for nothing."""
    from pretend import Pretended

    kind, name = case.split(" ", 1)
    path = next(p for p in PATHS if p.__name__ == kind)
    # Roundings of 1e-6, in guidance by gradients at nearly pure noise multiplied by a thousand.
    allowed = 1e-2 if kind == "complete" else 1e-4
    results = []
    for device, held in (("cpu", nullcontext()), ("pretend", Pretended())):
        try:
            with held:
                results.append({k: v.cpu() for k, v in path(name, device).items()})
        except Exception:
            return f"on {device}: {traceback.format_exc()[-3000:]}"
    here, there = results
    if here.keys() != there.keys():
        return f"other results: {sorted(here.keys() ^ there.keys())}"
    for key, value in here.items():
        mine, other = value.double().nan_to_num(), there[key].double().nan_to_num()
        error = (mine - other).abs() / (1 + mine.abs())
        if error.numel() and not float(error.max()) < allowed:
            return f"{key} is not the CPU's: relative error {float(error.max()):.3g}"
    return ""


def errors_of(cases: list[str], folder: Path) -> dict[str, str]:
    """What goes wrong in these cases, in a process where the device is registered."""
    out = folder / "errors.json"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent / "src"), str(HERE)])}
    command = [sys.executable, str(HERE / "test_devices.py"), str(out), *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(json.loads(out.read_text()))


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return errors_of(FAST, tmp_path_factory.mktemp("devices"))


@pytest.fixture(scope="module")
def more_errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return errors_of([case for case in CASES if case not in FAST], tmp_path_factory.mktemp("devices"))


@pytest.mark.parametrize("case", FAST)
def test_results_are_those_of_the_cpu(case: str, errors: dict[str, str]) -> None:
    assert not errors[case], errors[case]


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case not in FAST])
def test_all_results_are_those_of_the_cpu(case: str, more_errors: dict[str, str]) -> None:
    assert not more_errors[case], more_errors[case]


def test_the_device_refuses_a_mixture(errors: dict[str, str]) -> None:
    """As a real one would: what is computed, written, indexed or read from the wrong side."""
    assert errors["refused"] == "sum copy index put numpy where"


def refused() -> str:
    """Which mixtures are refused, and the tensors that may travel."""
    from pretend import MixedError, Pretended

    with Pretended():
        here, there = torch.arange(3.0), torch.arange(3.0, device="pretend")
        assert torch.equal((there + 1).cpu(), here + 1)
        assert torch.equal((there * torch.tensor(2.0)).cpu(), here * 2)
        tries: dict[str, Callable[[], object]] = {
            "sum": lambda: here + there,
            "copy": lambda: torch.cat([here, there]),
            "index": lambda: here[there.long()],
            "put": lambda: there.index_put_((torch.tensor([0]),), here[:1]),
            "numpy": lambda: there.numpy(),
            "where": lambda: torch.where(here > 1, there, 0.0),
        }
        out = []
        for name, attempt in tries.items():
            try:
                attempt()
            except (MixedError, TypeError):
                out.append(name)
    return " ".join(out)


if __name__ == "__main__":
    from pretend import switch_on

    torch.set_num_threads(1)
    switch_on()
    found = {"refused": refused(), **{case: error_of(case) for case in sys.argv[2:]}}
    Path(sys.argv[1]).write_text(json.dumps(found))
