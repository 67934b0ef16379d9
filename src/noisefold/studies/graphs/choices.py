r"""What noise, prediction, sampler and network contribute on graphs, beside the exact denoiser.

The data are uniform random labelled trees of eight nodes. Their exact denoiser is known (Kirchhoff), and so
is the probability of each of the 23 shapes that they have, so that samples are judged by their distance to
the truth itself: the total variation over shapes, what is no tree counting as one more. One choice is changed
at a time, from marginal noise, a network that predicts the clean graph, the reverse chain and a graph
transformer:

- **noise**: uniform, marginal, absorbing; or none, with a course from data to noise that is fixed for every
  training graph once and for all;
- **prediction**: the clean graph, or the state one step before;
- **sampler**: the reverse chain, a jump process, or noising an estimate anew;
- **network**: none, but the closed form of independent edges; degrees of a pair's nodes alone; structural
  features without messages; a graph transformer.

Source: section 2 and 4.2 of Towards understanding diffusion models (on graphs).
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import networkx as nx
import torch
from torch import Tensor, nn

from noisefold.data.graph_sets import tree
from noisefold.geometry.graphs import Graphs
from noisefold.nn import Denoiser
from noisefold.noise import Discrete, Streams, Types, derive_seed, seeded
from noisefold.noise.categories import Categories
from noisefold.noise.classes import Classes
from noisefold.noise.discrete import draw_classes
from noisefold.progress import progress
from noisefold.sample import D3PM, DiscreteFlow, Power, Renoising, Solver, Task
from noisefold.sample.discrete import mixed_kernel
from noisefold.studies.graphs.choices_report import figure, table
from noisefold.studies.graphs.small_networks import NETWORKS
from noisefold.studies.graphs.tree_classes import TreeShapes
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Experiment, Result, Run, written
from noisefold.studies.kit.statistics import digits
from noisefold.theory.graph_oracle import SpanningTrees

__all__ = ["NOISES", "SAMPLERS", "STUDY", "measure"]

_GRID = Power(3)
_BATCH, _GROUPS = 64, 8
_LR, _WARM_UP = 3e-3, 30
NOISES = ("marginal", "uniform", "absorbing", "none")
"""Noises; the first is what others are compared with, as in all of these."""
SAMPLERS: dict[str, Solver] = {
    "reverse chain": D3PM(),
    "jump process": DiscreteFlow(),
    "renoising": Renoising(),
}
"""Samplers of networks that predict the clean graph."""
_PREVIOUS = "previous state"


@dataclass(frozen=True)
class Scale:
    """One size of the study.

    Parameters
    ----------
    training, seeds
        Steps of a training of 64 graphs, and how many of each.
    samples, steps
        Samples that are judged, and steps of the sampler.
    nodes, graphs
        Nodes of the trees, and how many there are to learn from.
    """

    training: int
    seeds: int
    samples: int
    steps: int = 20
    nodes: int = 8
    graphs: int = 1024


SCALES = {
    "smoke": Scale(2, 1, 8, 3, 5, 64),
    "short": Scale(300, 3, 600),
    "paper": Scale(20_000, 5, 10_000, nodes=12),
}


@dataclass(frozen=True)
class Cell:
    """One choice of everything that is trained."""

    noise: str = NOISES[0]
    network: str = next(iter(NETWORKS))
    previous: bool = False

    @property
    def name(self) -> str:
        """Name of its files."""
        return slug(f"{self.noise} {self.network} {_PREVIOUS if self.previous else 'clean'}")


CELLS = (
    *(Cell(noise) for noise in NOISES),
    *(Cell(network=name) for name in list(NETWORKS)[1:]),
    Cell(previous=True),
)
"""What is trained."""


def measure(run: Run[Scale]) -> Result:
    """Return one of ``rows`` for each cell, sampler and seed, and for the exact denoiser.

    A row has ``valid``, the share of trees; ``distance``, the total variation to the truth by shape; and, of
    clean graphs that are predicted, ``gap``: the mean divergence of the exact posterior of a pair from the
    estimate, in nats.
    """
    size, rows = run.size, []
    work = [(cell, seed) for cell in CELLS for seed in run.seeds(size.seeds)]
    with progress(run.name, len(work)) as advance:
        for cell, seed in work:
            rows += run.cached(f"{cell.name}-{seed}", partial(_trial, cell, size, seed))
            advance(1, cell.name)
    for noise, seed in itertools.product(NOISES[:3], run.seeds(size.seeds)):
        rows += run.cached(f"exact-{noise}-{seed}", partial(_exact, noise, size, seed))
    shapes = TreeShapes(size.nodes)
    return {
        "seed": run.seed,
        "nodes": size.nodes,
        "samples": size.samples,
        "steps": size.steps,
        "floor": shapes.floor(size.samples),
        "rows": rows,
    }


def _path(noise: str, size: int) -> Discrete:
    return Discrete((1.0,), SpanningTrees(size).shares, "marginal" if noise == "none" else noise)


def _times(path: Discrete, steps: int) -> Tensor:
    return _GRID(path, steps)


# -- training ------------------------------------------------------------------------------------------------


def _trial(cell: Cell, size: Scale, seed: int) -> list[Result]:
    path, start = _path(cell.noise, size.nodes), time.process_time()
    states = len(path.noise_distribution.pairs)
    build = NETWORKS[cell.network]
    net: nn.Module = _Silent(states) if build is None else _built(build, states, seed)
    if build is not None:
        _train(net, cell, path, size, seed)
    spent, net = time.process_time() - start, net.eval()
    about = {"noise": cell.noise, "network": cell.network, "seed": seed, "seconds": round(spent, 1)}
    if cell.previous:
        made = _sampled_states(net, path, size, seed)
        return [{**about, "prediction": _PREVIOUS, "sampler": _PREVIOUS, **_judged(made, size)}]
    denoise = Denoiser(net, path, Classes(), "types")
    gap = digits(_gap(denoise, path, size, seed))
    rows = []
    for name, solver in SAMPLERS.items():
        frame = _frame(size)
        by = partial(_estimate, denoise, frame)
        made = _sampled(by, solver, path, frame, size, seed)
        rows.append(
            {**about, "prediction": "clean graph", "sampler": name, "gap": gap, **_judged(made, size)}
        )
    return rows


def _built(build: Callable[[int, bool], nn.Module], states: int, seed: int) -> nn.Module:
    with seeded(seed):
        return build(states, states > 2)


class _Silent(nn.Module):
    """A network that adds nothing to the closed form."""

    def __init__(self, states: int) -> None:
        super().__init__()
        self.states = states

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Categories:
        pairs = len(Types().read(graphs).pairs)
        return Categories(torch.zeros(graphs.num_nodes, 1), torch.zeros(pairs, self.states))


def _train(net: nn.Module, cell: Cell, path: Discrete, size: Scale, seed: int) -> None:
    data = tree(size.graphs, nodes=size.nodes, seed=1)
    optimizer = torch.optim.Adam(net.parameters(), lr=_LR, betas=(0.9, 0.99))
    times, draw = _times(path, size.steps), torch.Generator().manual_seed(derive_seed(seed, 3))
    net.train()
    for step in range(size.training):
        rows = torch.randperm(len(data), generator=draw)[:_BATCH]
        graphs = data[rows]
        index = torch.randint(size.steps, (_GROUPS,), generator=draw)
        index = index.repeat_interleave(-(-len(rows) // _GROUPS))[: len(rows)]
        t, s = times[index], times[index + 1]
        clean = Types().read(graphs)
        # Without noise a graph goes the same way whenever it is seen.
        key, ids = (
            (seed, rows.tolist()) if cell.noise == "none" else (derive_seed(seed, 4, step), range(_BATCH))
        )
        before = path.corrupt(clean, s, graphs, Streams(key, ids))
        if cell.noise == "none":
            state = path.corrupt(clean, t, graphs, Streams(key, ids))
        else:
            state = path.renoise(before, s, t, graphs, Streams(derive_seed(seed, 5, step), ids))
        wanted = before if cell.previous else clean
        found = _log_rows(net, path, graphs, state, t, s if cell.previous else None)
        loss = -found.gather(1, wanted.pairs[:, None]).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        done = step / size.training
        for group in optimizer.param_groups:
            group["lr"] = _LR * min(1.0, (step + 1) / _WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
        optimizer.step()


def _log_rows(
    net: nn.Module, path: Discrete, graphs: Graphs, state: Categories, t: Tensor, s: Tensor | None
) -> Tensor:
    """Return the log-probabilities of a pair's classes at s, or of the clean graph for None, ``[p, k]``.

    The network's logits are added to those of independent edges in either case.
    """
    answer = net(Types().write(graphs, state), path.log_snr(t).float(), None).pairs
    base = Classes().baseline(state, t, path, graphs).pairs
    if s is not None:
        base = _step_before(base, state.pairs, s, t, path, graphs)
    return torch.log_softmax(base.clamp(min=1e-30).log() + answer, 1)


def _step_before(
    estimate: Tensor, state: Tensor, s: Tensor, t: Tensor, path: Discrete, graphs: Graphs
) -> Tensor:
    """Return the reverse kernel of an estimate, whose times differ between graphs of one size."""
    each = len(state) // len(graphs)
    out = torch.empty_like(estimate)
    for k in torch.unique(t):
        rows = (t == k).repeat_interleave(each)
        keep_s, keep_t = (float(path.keep(v[t == k][0])) for v in (s, t))
        noise = path.noise_distribution.pairs
        out[rows] = mixed_kernel(estimate[rows], state[rows], keep_s, keep_t, noise)
    return out


# -- sampling and judging ------------------------------------------------------------------------------------


def _frame(size: Scale) -> Graphs:
    count = size.samples
    return Graphs(torch.zeros(count * size.nodes, 0), ptr=size.nodes * torch.arange(count + 1))


def _estimate(
    denoise: Denoiser[Categories, Categories], frame: Graphs, state: Categories, t: Tensor
) -> Categories:
    found: Categories = denoise(frame, state, t.expand(len(frame)))
    return found


@torch.no_grad()
def _sampled(
    denoise: Callable[[Categories, Tensor], Categories],
    solver: Solver,
    path: Discrete,
    frame: Graphs,
    size: Scale,
    seed: int,
) -> Graphs:
    times = _times(path, size.steps)
    random = Streams(derive_seed(seed, 6), range(len(frame)))
    task: Task[Any, Any] = Task(denoise, path, times, frame, random, Types())
    start = path.prior(frame, Types().read(frame), times[0], random)
    return Types().write(frame, solver(task, start))


@torch.no_grad()
def _sampled_states(net: nn.Module, path: Discrete, size: Scale, seed: int) -> Graphs:
    """Draw one state after the other, as the network predicts them."""
    frame, times = _frame(size), _times(path, size.steps)
    random = Streams(derive_seed(seed, 6), range(len(frame)))
    state = path.prior(frame, Types().read(frame), times[0], random)
    for t, s in itertools.pairwise(times):
        many = (v.expand(len(frame)) for v in (t, s))
        rows = _log_rows(net, path, frame, state, *many).exp()
        state = draw_classes(Categories(torch.ones(frame.num_nodes, 1), rows), frame, random)
    return Types().write(frame, state)


def _judged(made: Graphs, size: Scale) -> Result:
    graphs = made.to_networkx()
    return {
        "valid": sum(nx.is_tree(g) for g in graphs) / len(graphs),
        "distance": digits(TreeShapes(size.nodes).distance(graphs)),
    }


@torch.no_grad()
def _gap(denoise: Denoiser[Categories, Categories], path: Discrete, size: Scale, seed: int) -> float:
    """Return the mean divergence of the exact posterior from the estimate, over the steps of the sampler."""
    graphs = tree(_BATCH, nodes=size.nodes, seed=2)
    exact, clean = SpanningTrees(size.nodes).denoiser(path), Types().read(graphs)
    found = []
    for k, t in enumerate(_times(path, size.steps)[:-1]):
        many = t.expand(len(graphs))
        state = path.corrupt(clean, many, graphs, Streams(derive_seed(seed, 7, k), range(len(graphs))))
        truth, guess = exact(state, t).pairs, denoise(graphs, state, many).pairs.double()
        each = truth * (truth.clamp(min=1e-12).log() - guess.clamp(min=1e-12).log())
        found.append(float(each.sum(1).mean()))
    return sum(found) / len(found)


def _exact(noise: str, size: Scale, seed: int) -> Sequence[Result]:
    path, frame = _path(noise, size.nodes), _frame(size)
    rows = []
    for name, solver in SAMPLERS.items():
        made = _sampled(SpanningTrees(size.nodes).denoiser(path), solver, path, frame, size, seed)
        rows.append(
            {
                "noise": noise,
                "network": "exact",
                "seed": seed,
                "prediction": "clean graph",
                "sampler": name,
                "gap": 0.0,
                **_judged(made, size),
            }
        )
    return rows


STUDY = Experiment("diffusion-graphs", SCALES, written(measure, table, figure))
