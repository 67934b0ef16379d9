r"""Graph transformers at equal training time: does it pay to follow the noise?

Where most entries are noise, the closed-form posterior of independent edges is all that can be said, and a
network is idle there; where few are, all of its depth may be of use. Three networks are compared:

- the plain one, all layers at every noise level;
- the closed form alone below a share of 0.3 of entries that are data, the plain network above;
- the same, with a network of half the layers up to a share of 0.7.

Every training has the same computing time. The cross-entropy of pairs is measured on held-out graphs, with
the same noise for all networks, by the share of entries that are data. For trees the exact denoiser stands
beside.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.geometry.pairs import pair_ptr
from noisefold.model import Model
from noisefold.nn.graph_transformer.network import GraphTransformer
from noisefold.noise import Discrete, Streams, Types, derive_seed, seeded
from noisefold.noise.categories import Categories
from noisefold.noise.schedule import signal_level
from noisefold.studies.graphs.training import step_costs, trained
from noisefold.studies.kit.cache import slug
from noisefold.studies.kit.experiment import Result, Run
from noisefold.studies.kit.statistics import digits
from noisefold.theory.graph_oracle import SpanningTrees

__all__ = ["NETWORKS", "TwoDepths", "compared", "cross_entropy"]

SHARES = (0.2, 0.4, 0.6, 0.8, 0.9, 0.97)
"""Shares of entries that are data, at which networks are compared."""
_NOISY, _CLEAR = 0.3, 0.7
_REPEATS = 4
_LARGE = 40
Denoise = Callable[[Categories, Tensor, Graphs], Categories]


class TwoDepths(nn.Module):
    """A shallow network up to a signal level, and a deep one above.

    Shapes:
        - **graphs**, **log_snr** ``[g]``, **label** as of `noisefold.nn.GraphTransformer`
        - **output** `Categories` of logits

    Parameters
    ----------
    shallow, deep
        The networks.
    split
        The signal level.
    """

    def __init__(self, shallow: GraphTransformer, deep: GraphTransformer, split: float) -> None:
        super().__init__()
        self.shallow, self.deep, self.split = shallow, deep, split

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Categories:
        """Return the logits for noisy graphs at ``log_snr [g]``."""
        clear = signal_level(log_snr.double()) >= self.split
        counts = pair_ptr(graphs.ptr).diff()
        parts, at = [], []
        for net, chosen in ((self.shallow, ~clear), (self.deep, clear)):
            if bool(chosen.any()):
                parts.append(net(graphs[chosen], log_snr[chosen]))
                rows = Categories(chosen[graphs.batch], torch.repeat_interleave(chosen, counts))
                at.append(rows.map(lambda v: v.nonzero()[:, 0]))
        order = Categories(torch.cat([a.nodes for a in at]), torch.cat([a.pairs for a in at]))
        found = Categories(torch.cat([p.nodes for p in parts]), torch.cat([p.pairs for p in parts]))
        return found.map(lambda v, i: v[i.argsort()], order)


def _plain(net: GraphTransformer) -> nn.Module:
    return net


def _closed_form(net: GraphTransformer) -> nn.Module:
    return _like(net, skip_below=_NOISY)


def _two_depths(net: GraphTransformer) -> nn.Module:
    shallow = max(1, _arguments(net)["layers"] // 2)
    return TwoDepths(_like(net, skip_below=_NOISY, layers=shallow), _like(net), _CLEAR)


def _arguments(net: GraphTransformer) -> dict[str, Any]:
    found: dict[str, Any] = vars(net)["arguments"]
    return found


def _like(net: GraphTransformer, **changes: Any) -> GraphTransformer:
    return GraphTransformer(**{**_arguments(net), **changes})


NETWORKS: dict[str, Callable[[GraphTransformer], nn.Module]] = {
    "plain": _plain,
    "closed form below 0.3": _closed_form,
    "closed form below 0.3, half the layers below 0.7": _two_depths,
}
"""Networks by name, made of the default one."""


class _Sets(Protocol):
    """Graphs to train on and held out."""

    @property
    def train(self) -> Graphs: ...

    @property
    def judged(self) -> Graphs: ...


class _Size(Protocol):
    """What the study's scales have."""

    @property
    def seeds(self) -> int: ...


def compared(run: Run[Any], sets: Mapping[str, _Sets], seconds: float) -> Result:
    """Return by set the cross-entropy of pairs of each network and seed by share, and of what is known."""
    out: Result = {"shares": SHARES, "seconds": seconds, "sets": {}}
    for name, graphs in sets.items():
        models = {row: _model(graphs.train, build, run.seed) for row, build in NETWORKS.items()}
        costs = run.cached(
            f"networks-{slug(name)}-costs", partial(step_costs, models, graphs.train, None, run.size.seeds)
        )
        rows: dict[str, list[Result]] = {row: [] for row in NETWORKS}
        for seed in run.seeds(run.size.seeds):
            for row, build in NETWORKS.items():
                model = _model(graphs.train, build, seed)
                file = f"networks-{slug(name)}-{slug(row)}-{seed}"
                made = trained(run, file, model, graphs.train, seconds, tuple(costs[row]), seed=seed)
                loss = run.cached(f"{file}-loss", partial(_losses, _by(model), model.path, graphs.judged))
                rows[row].append({**made, "loss": loss})
        out["sets"][name] = {"rows": rows, "beside": _beside(graphs, models["plain"])}
    return out


def _model(data: Graphs, build: Callable[[GraphTransformer], nn.Module], seed: int) -> Model:
    model = Model.for_data(data, seed=seed, variable="types")
    with seeded(seed):
        net = build(model.net)
    return Model(net, model.path, model.target, "types", summary=model.summary, training=model.training)


def _by(model: Model) -> Denoise:
    return lambda state, t, graphs: model.denoiser(graphs, state, t.expand(len(graphs)))


def _beside(sets: _Sets, model: Model) -> dict[str, list[float]]:
    """Return the losses of the closed form, and of the exact denoiser of trees."""

    def closed_form(state: Categories, t: Tensor, graphs: Graphs) -> Categories:
        found: Categories = model.target.baseline(state, t.expand(len(graphs)), model.path, graphs)
        return found

    rows = {"independent edges": _losses(closed_form, model.path, sets.judged)}
    size = sets.judged.uniform
    if size and sets.judged.edge_index is not None:
        edges = sets.judged.edge_index.shape[1] // 2
        if edges == len(sets.judged) * (size - 1):
            exact = SpanningTrees(size).denoiser(model.path)
            rows["exact"] = _losses(lambda state, t, graphs: exact(state, t), model.path, sets.judged)
    return rows


@torch.no_grad()
def _losses(denoise: Denoise, path: Discrete, graphs: Graphs) -> list[float]:
    return [float(digits(cross_entropy(denoise, path, graphs, share), 6) or 0.0) for share in SHARES]


def cross_entropy(denoise: Denoise, path: Discrete, graphs: Graphs, share: float, seed: int = 0) -> float:
    """Return the mean cross-entropy of pairs at a share of entries that are data, nats.

    Parameters
    ----------
    denoise
        ``denoise(state, t, graphs)`` returns probabilities.
    path, graphs
        The path, and clean graphs.
    share
        Share of entries that are data.
    seed
        Of the noise, which is the same for every denoiser.
    """
    t, values = torch.tensor(1 - share), []
    for k in range(_REPEATS):
        for part in range(0, len(graphs), _LARGE):
            some = graphs[part : part + _LARGE]
            clean = Types().read(some)
            random = Streams(derive_seed(seed, 9, k), range(part, part + len(some)))
            state = path.corrupt(clean, t.expand(len(some)), some, random)
            found = denoise(state, t, some).pairs.double().clamp(min=1e-12)
            values.append(-found.gather(1, clean.pairs[:, None]).log()[:, 0])
    return float(torch.cat(values).mean())
