"""What a model is made of, and what it remembers."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from noisefold.arguments import device_name
from noisefold.configuration import decode, encode
from noisefold.data.classes import named_classes
from noisefold.domains import Recipe, domain_of
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.names import columns_of, renumbered
from noisefold.geometry.notebook import table_html
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Chain, Transform
from noisefold.nn.denoiser import Denoiser, classes_of, properties_of
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.path import ProbabilityPath
from noisefold.noise.prediction import Prediction
from noisefold.noise.target import Target
from noisefold.noise.variable import Variable
from noisefold.pretrained import FORMAT, Pretrained, upgraded
from noisefold.sample.frames import Labels, Properties, labels_of, properties_asked
from noisefold.sample.sampling import Sampling, SamplingOptions
from noisefold.train.settings import Training

__all__ = ["ModelState", "in_columns"]


class ModelState(Pretrained):
    """A generative model of geometric graphs.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, columns]``; see `noisefold.nn`.
    path
        How data becomes noise; default flow matching.
    target
        What the network predicts, by name or in full.
    variable
        What is generated, "pos" or "x"; the rest is given.
    summary
        What it remembers of the training data; measured by `fit` when it is None.
    for_completion
        Whether the network conditions on observed values directly: it learns from random masks
        (`noisefold.train.Masks`) and completes by `noisefold.sample.Amortized`. It then sees as many features
        more as there are columns of the variable.
    coupling
        Name of the coupling that it was trained under; set by `fit`, and "" if that is not known.
    transform
        Applied to features before the standardisation and undone after it, such as
        `noisefold.data.Expression` of counts; None leaves them as they are.
    tile
        Nodes of the tiles that larger graphs are sampled in; None samples every graph whole.
    training
        How `fit` trains unless it is told.
    """

    def __init__(
        self,
        net: nn.Module,
        path: ProbabilityPath[Any] | None = None,
        target: Prediction[Any, Any] | str = "velocity",
        variable: str | Variable[Any] = "pos",
        *,
        summary: DataSummary | None = None,
        for_completion: bool = False,
        coupling: str = "",
        transform: Transform | None = None,
        tile: int | None = None,
        training: Training | None = None,
    ) -> None:
        target = Target(target) if isinstance(target, str) else target
        self.denoiser: Denoiser[Any, Any] = Denoiser(
            net, path or Gaussian(), target, variable, for_completion
        )
        self.summary, self.coupling, self.transform = summary, coupling, transform
        self.tile, self.training = tile, training or Training()

    # -- what it is --------------------------------------------------------------------------------------

    net = property(lambda self: self.denoiser.net, doc="The network.")
    path = property(lambda self: self.denoiser.path, doc="The path from data to noise.")
    target = property(lambda self: self.denoiser.target, doc="What the network predicts.")
    device = property(lambda self: self.denoiser.device, doc="Where the network is.")

    @property
    def variable(self) -> Variable[Any]:
        """What is generated."""
        return self.denoiser.variable

    @property
    def for_completion(self) -> bool:
        """Whether the network conditions on observed values directly."""
        return self.denoiser.for_completion

    @property
    def conditional(self) -> bool:
        """Whether the network takes classes."""
        return bool(classes_of(self.net))

    @property
    def num_parameters(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.net.parameters())

    @property
    def data(self) -> DataSummary:
        """What it remembers of the training data; a ValueError if it was not trained."""
        if self.summary is None:
            raise ValueError("the model has not seen data yet; call fit first.")
        return self.summary

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes of the training data."""
        return () if self.summary is None else self.summary.classes

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the features of the training data."""
        return () if self.summary is None else self.summary.feature_names

    @property
    def units(self) -> Chain:
        """From the data's units to the network's: the transformation, then the standardisation."""
        scaling = self.data.scaling
        return Chain((scaling,) if self.transform is None else (self.transform, scaling))

    def to(self, device: torch.device | str) -> Self:
        """Move the network to a device."""
        self.net.to(device_name(device))
        return self

    def __repr__(self) -> str:
        return (
            f"Model({type(self.net).__name__}, {self.num_parameters:,} parameters, {self.path!r}, "
            f"{self.target!r}, generates {self.variable.noun})"
        )

    def _repr_html_(self) -> str:
        facts = {
            "network": type(self.net).__name__,
            "path": self.path.about,
            "predicts": self.target.name,
            "generates": self.variable.noun,
            "classes": ", ".join(self.classes[:12]),
            "features": ", ".join(self.feature_names[:12]),
        }
        rows = [(name, value) for name, value in facts.items() if value]
        return table_html(f"Model, {self.num_parameters:,} parameters", ("", ""), rows)

    def matched(self, graphs: Graphs) -> Graphs:
        """Return graphs with the model's features in its order, classes and types by name, about its origin.

        Raises
        ------
        ValueError
            If a feature, a class or a type is not there; the message gives the nearest name.
        """
        if self.summary is None:
            return graphs
        if self.summary.feature_names and graphs.features:
            graphs = graphs.with_features(self.summary.feature_names)
        if self.conditional and graphs.label is not None:
            graphs, classes = named_classes(graphs), self.summary.classes
            assert graphs.label is not None
            label = renumbered(graphs.label, graphs.classes, classes, "class")
            graphs = graphs.replace(label=label, classes=classes)
        if (names := self.summary.property_names) and graphs.properties is not None:
            if graphs.property_names and graphs.property_names != names:
                columns = columns_of(graphs.property_names, names, "property")
                graphs = graphs.replace(properties=graphs.properties[:, columns], property_names=names)
        elif graphs.properties is not None:
            graphs = graphs.replace(properties=None, property_names=())
        for noun in ("node_type", "edge_type"):
            codes, names = getattr(graphs, noun), getattr(graphs, f"{noun}s")
            known = getattr(self.summary, f"{noun}s")
            if codes is not None and names and known:
                codes = renumbered(codes, names, known, noun.replace("_", " "))
                graphs = graphs.replace(**{noun: codes, f"{noun}s": known})
        if self.summary.edge_types and graphs.edge_type is None and graphs.edge_index is not None:
            none = graphs.edge_index[0]
            if not none.numel():  # a scaffold of nodes alone: types of edges to come still have names
                graphs = graphs.replace(edge_type=none, edge_types=self.summary.edge_types)
        return graphs.rebased(self.summary.origin) if graphs.dim == self.summary.dim else graphs

    def training_graphs(self, data: Graphs) -> Graphs:
        """Return the graphs that the model learns from."""
        return self.matched(domain_of(data, self.variable).training_graphs(data))

    def prepared(self, data: Graphs) -> Graphs:
        """Return whole graphs as the network takes them, matched by name."""
        return self.matched(domain_of(data, self.variable).prepared(data))

    def test_graphs(self, data: Graphs) -> Graphs:
        """Return the graphs that the model is judged on."""
        return self.matched(domain_of(data, self.variable).test_graphs(data))

    def spread(self, graphs: Graphs, known: Tensor | None, seed: int) -> tuple[Graphs, Tensor | None, Tensor]:
        """Return data with a density, what is known of them, and the log-volume of unknown cells, ``[g]``."""
        data = self.prepared(graphs)
        known = in_columns(known, graphs, data)
        wide, cell = domain_of(data, self.variable).dequantised(data, seed)
        count = torch.zeros(len(data), dtype=torch.float64)
        if cell:
            free = torch.ones(data.num_nodes, data.features, dtype=torch.float64)
            if known is not None:
                free = free * ~(known if known.ndim == 2 else known[:, None]).cpu()
            count.index_add_(0, data.batch.cpu(), free.sum(1))
        return wide, known, cell * count

    def sampled_by(self, sampling: Sampling | None, options: SamplingOptions) -> Sampling:
        """Return how to sample, and make the network ready for it."""
        how = (sampling or Sampling()).changed(options)
        self.net.eval()
        if how.device is not None:
            self.to(how.device)
        return how

    def labels_for(self, labels: Labels, count: int, seed: int) -> Tensor | None:
        """Return the classes of samples by number, as asked or drawn; None where the model has none."""
        if self.conditional:
            return labels_of(labels, count, self.data.classes, self.data.class_weights, seed)
        if labels is not None:
            raise ValueError("labels were given, but this model was trained without classes.")
        return None

    def conditions_for(
        self, labels: Labels, properties: Properties, numbers: range, seed: int
    ) -> dict[str, Tensor | None]:
        """Return classes and properties of these samples, as asked or drawn, where the model has any."""
        chosen, values = self.labels_for(labels, numbers.stop, seed), None
        if properties_of(self.net):
            names, rows = self.data.property_names, self.data.property_rows
            values = properties_asked(properties, numbers.stop, names, rows, seed)
        elif properties is not None:
            raise ValueError("properties were given, but this model was trained without them.")
        found = {"labels": chosen, "properties": values}
        return {name: None if v is None else v[list(numbers)] for name, v in found.items()}

    def conditions_in(self, graphs: Graphs) -> dict[str, Any]:
        """Return classes and properties of graphs that the model knows, as `sample` takes them."""
        labels = None if not self.conditional or graphs.label is None else graphs.label.tolist()
        values = self.matched(graphs).properties if properties_of(self.net) else None
        asked = (
            None if values is None else dict(zip(self.data.property_names, values.T.tolist(), strict=True))
        )
        return {"labels": labels, "properties": asked}

    # -- keeping -----------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Return everything but the weights, as plain data; a function in it is a ValueError."""
        named = ("net", "path", "target", "summary", "transform", "training")
        parts = {name: encode(getattr(self, name)) for name in named}
        plain = {name: getattr(self, name) for name in ("for_completion", "coupling", "tile")}
        return {"format": FORMAT, "model": {**parts, "variable": self.variable.name, **plain}}

    @classmethod
    def of_recipe(cls, recipe: Recipe) -> Self:
        """Return the untrained model of a recipe."""
        return cls(**recipe.build())

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return the untrained model of a configuration."""
        return cls(**decode(upgraded(config)["model"]))


def in_columns(known: Any, graphs: Graphs, matched: Graphs) -> Any:
    """Return a mask of entries ``[n, f]`` with the columns of matched graphs, and any other as it is."""
    names, wanted = graphs.feature_names, matched.feature_names
    known = torch.as_tensor(known) if isinstance(known, np.ndarray | list | tuple) else known
    if not names or names == wanted or not isinstance(known, Tensor) or known.ndim != 2:
        return known
    return known[:, columns_of(names, wanted, "feature")]
