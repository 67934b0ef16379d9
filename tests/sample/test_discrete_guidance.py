"""Guidance on discrete paths: reweighting by Bayes' rule, exact of single entries."""

from dataclasses import dataclass

import pytest
import torch

import noisefold as nf
from noisefold.nn import Denoiser
from noisefold.noise import Categories, Classes, Discrete
from noisefold.sample import D3PM, Bound, Guided, Power
from noisefold.theory import FiniteGraphs, propagated

EDGE = torch.tensor([[0, 1], [1, 0]])


def two_nodes(share):
    """No edge, and an edge with a probability."""
    none = nf.Graphs(torch.zeros(2, 0), edge_index=EDGE[:, :0])
    return FiniteGraphs(nf.Graphs.collate([none, none.replace(edge_index=EDGE)]), (1 - share, share))


@dataclass(frozen=True)
class _Guided:
    """Graphs of two nodes whose denoiser is guided towards a class."""

    plain: FiniteGraphs
    conditional: FiniteGraphs
    weight: float

    @property
    def graphs(self):
        return self.plain.graphs

    def denoiser(self, path):
        both = [part.denoiser(path) for part in (self.conditional, self.plain)]

        def guided(state, t):
            estimates = [one(state, t) for one in both]
            joined = estimates[0].map(lambda a, b: torch.cat([a, b]), estimates[1])
            return Classes().guided(joined, self.weight)

        return guided


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0])
def test_a_guided_edge_has_the_tilted_probability(weight):
    """Of one edge, p (p_y / p)^w is the distribution of the data, and so of the sampler's last state."""
    plain, conditional = two_nodes(0.3), two_nodes(0.6)
    tilted = torch.tensor([0.7 * (0.4 / 0.7) ** weight, 0.3 * (0.6 / 0.3) ** weight], dtype=torch.float64)
    path = Discrete((1.0,), (0.7, 0.3))
    found = propagated(_Guided(plain, conditional, weight), path, D3PM(), Power(2)(path, 60))
    assert (found[:2] - tilted / tilted.sum()).abs().max() < 4e-3  # what 60 steps leave


class _Told(torch.nn.Module):
    """A network whose logit of an edge is the class, or the first property; nothing where there is none."""

    def forward(self, graphs, log_snr, label=None):
        told = torch.zeros(len(graphs)) if label is None else label.clamp(min=0).float()
        if graphs.properties is not None:
            told = told + graphs.properties[:, 0].nan_to_num()
        pairs = torch.stack([torch.zeros(len(graphs)), told], 1)
        return Categories(torch.zeros(graphs.num_nodes, 1), pairs)


@pytest.mark.parametrize("by", ["label", "properties"])
def test_guidance_counts_in_its_interval_alone(by):
    path = Discrete((1.0,), (0.5, 0.5))
    graphs = two_nodes(0.5).graphs
    if by == "label":
        graphs = graphs.replace(label=torch.tensor([1, 1]))
    else:
        graphs = graphs.replace(properties=torch.ones(2, 1))
    bound = Bound(Denoiser(_Told(), path, Classes(prior_logits=False), "types"), graphs, graphs.label)
    state = Categories(torch.zeros(4, dtype=torch.int64), torch.tensor([0, 1]))
    guided = Guided(bound, 3.0, (-1.0, 20.0))

    def logit(estimate):
        return torch.logit(estimate.pairs[:, 1])

    late, early = torch.tensor(0.9), torch.tensor(0.2)
    assert logit(guided(state, early)).tolist() == pytest.approx([3.0, 3.0], abs=1e-4)
    assert logit(guided(state, late)).tolist() == pytest.approx([1.0, 1.0], abs=1e-4)


def test_guidance_needs_something_to_guide_towards():
    graphs = two_nodes(0.5).graphs
    denoiser = Denoiser(_Told(), Discrete((1.0,), (0.5, 0.5)), Classes(), "types")
    with pytest.raises(ValueError, match="properties"):
        Guided(Bound(denoiser, graphs), 2.0)
