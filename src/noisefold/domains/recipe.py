"""Recipes: what a model of a data set is made of, and how it is trained, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import nn

from noisefold.configuration import Config, decode, encode
from noisefold.domains.plan import KRIGING, kind_in, override
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.nn.defaults import FEW, default_net, few_data
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.prediction import Prediction
from noisefold.noise.source import seeded
from noisefold.noise.target import Target
from noisefold.noise.variable import Variable
from noisefold.train.masks import Masks
from noisefold.train.settings import Training

__all__ = ["Recipe", "Request", "outline", "planned", "recommended"]

_NODES = 400
_USUAL = Training()
# Found by the study of tissues; "nothing" beside its masks, since such a model also generates.
_FEW: dict[str, Any] = {
    "steps": 300,
    "batch": 8,
    "warmup": 30,
    "weight_decay": 0.05,
    "ema": 0.98,
    "masks": Masks(("nothing", "entries", "features", "region", "region")),
    "validate_every": 50,
    "checkpoint_every": 50,
}


@dataclass(frozen=True)
class Request:
    """What a user wants of a model, beyond its data.

    Parameters
    ----------
    for_completion
        Whether the model is to complete (`noisefold.Model`).
    independent_samples
        How many independent samples the graphs were cut from, 1 for the patches of one tissue; None: what the
        domain knows, or else as many as there are graphs.
    seed
        First weights and training follow from it.
    net
        Arguments of the network, or of the one within `noisefold.nn.KrigingResidual`.
    changes
        Any part of a plan; it wins.
    transform
        Transformation of features; None leaves it to the domain.
    variable
        What is generated, "pos", "x" or "types"; None leaves it to the changes or the domain.
    """

    for_completion: bool = False
    independent_samples: int | None = None
    seed: int = 0
    net: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[Config, ...] = ()
    transform: Transform | None = None
    variable: str | None = None


@dataclass(frozen=True)
class Recipe:
    """A model and its training, before any weights.

    Parameters
    ----------
    plan
        ``net``, ``path``, ``target``, ``variable``, ``for_completion`` and ``training`` as plain data.
    summary
        What was measured on the data.
    transform
        Transformation of features, or None.
    tile
        Nodes of the tiles that larger graphs are sampled in, or None.
    """

    plan: Config
    summary: DataSummary
    transform: Transform | None = None
    tile: int | None = None

    def build(self) -> dict[str, Any]:
        """Return the arguments of `noisefold.Model`; first weights follow from the training's seed.

        Raises
        ------
        ValueError
            If a part of the plan is unknown or out of its range.
        """
        training: Training = decode(self.plan["training"])
        with seeded(training.seed):
            parts = {k: decode(v) for k, v in self.plan.items() if k != "training"}
        measured = {"summary": self.summary, "transform": self.transform, "tile": self.tile}
        return {**parts, **measured, "training": training}


def outline(data: Graphs, transform: Transform) -> Graphs:
    """Return graphs of the sizes and with the number of features that a transformation gives, without a copy.

    The values are those of one node throughout.
    """
    x = transform.apply(data[:1]).x
    return data.replace(x=None if x is None else x[:1].expand(data.num_nodes, -1))


def recommended(
    unit: Graphs,
    variable: Variable[Any],
    summary: DataSummary,
    request: Request,
    tile: int | None = None,
    usual: Training = _USUAL,
) -> Recipe:
    """Return the recipe for a data set, with the user's changes.

    Parameters
    ----------
    unit
        Graphs with the sizes, features and classes that the network will see, in any units.
    variable
        What is generated.
    summary, tile
        As of `Recipe`.
    request
        What the user wants.
    usual
        The training that suits the domain; batches are no larger than the data set.
    """
    kind, samples = kind_in(request.changes), request.independent_samples
    few = few_data(unit, request.for_completion, samples if kind is None else 1 if kind == KRIGING else FEW)
    net = default_net(unit, request.for_completion, 1 if few else FEW, **request.net)
    largest = int(unit.sizes.max())
    nodes = _NODES if largest > _NODES else None
    training = replace(usual, batch=min(usual.batch, len(unit)), nodes=nodes, seed=request.seed)
    if few:
        training = replace(training, **{**_FEW, "batch": min(_FEW["batch"], len(unit))})
    return planned(net, Gaussian(), Target("velocity"), variable, training, summary, request, tile)


def planned(
    net: nn.Module,
    path: ProbabilityPath[Any],
    target: Prediction[Any, Any],
    variable: Variable[Any],
    training: Training,
    summary: DataSummary,
    request: Request,
    tile: int | None = None,
) -> Recipe:
    """Return the recipe of these parts, with the user's changes."""
    plan: Config = {
        "net": encode(net),
        "path": encode(path),
        "target": encode(target),
        "variable": variable.name,
        "for_completion": request.for_completion,
        "training": encode(training),
    }
    wanted: Config = {}
    for changes in request.changes:
        wanted = override(wanted, changes)
    chosen = override(plan, wanted)
    _check_sizes(chosen["net"], plan["net"])
    return Recipe(chosen, summary, request.transform, tile)


def _check_sizes(net: Config, fitted: Config) -> None:
    """Refuse sizes of a network that are not those of the data."""
    for name in ("pos_dim", "features", "out_dim", "columns", "dim", "classes"):
        asked, needed = net.get(name), fitted.get(name)
        unconditional = name == "classes" and asked == 0
        if None not in (asked, needed) and asked != needed and not unconditional:
            raise ValueError(f"net.{name} is {needed} for these data, got {asked!r}; leave it out.")
