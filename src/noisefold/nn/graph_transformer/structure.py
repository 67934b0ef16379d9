"""What a graph transformer is told of the structure of noisy graphs, at unit scale."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from noisefold.nn.graph_transformer.features import CYCLES, cycle_counts, laplacian_spectrum, random_walks
from noisefold.nn.graph_transformer.pair_layout import PairLayout

__all__ = ["Structure"]


@dataclass(frozen=True)
class Structure:
    r"""Structural features of nodes, pairs and graphs; counts c as :math:`\ln(1 + c)`.

    - of a node: degree, cycles of length 3 to 6 through it, probabilities of return;
    - of a pair: common neighbours, random-walk probabilities;
    - of a graph: nodes, edges, cycles of length 3 to 6, smallest eigenvalues of the Laplacian.

    Random-walk probabilities are multiplied by the number n of nodes, which makes them of order 1 for long
    walks, and then taken as counts.

    Parameters
    ----------
    walks
        Greatest number of steps of a random walk.
    spectrum
        Number of eigenvalues.
    """

    walks: int
    spectrum: int

    @property
    def columns(self) -> tuple[int, int, int]:
        """Columns of the features of nodes, pairs and graphs."""
        return 1 + len(CYCLES) + self.walks, 1 + self.walks, 2 + len(CYCLES) + self.spectrum

    @torch.no_grad()
    def __call__(self, layout: PairLayout, edges: Tensor, like: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the features ``[n, a]``, ``[p, b]`` and ``[g, c]``, of the type of `like`.

        Parameters
        ----------
        layout
            Where nodes and pairs stand.
        edges
            Which pairs are edges, ``[p]``, bool.
        like
            Tensor of the floating type and device of the results.
        """
        with torch.autocast(edges.device.type, enabled=False):
            # Sums of counts pass 2^24, where float32 ends to be exact.
            (exact,) = layout.unpack(edges[:, None].double())
            degree, cycles = exact.sum(-1), cycle_counts(exact)
            of_nodes = [degree[..., None].log1p(), cycles.log1p()]
            totals = cycles.sum(1) / cycles.new_tensor(CYCLES)
            counts = torch.stack([layout.sizes.double(), degree.sum(1) / 2], dim=1)
            of_graphs = [counts.log1p(), totals.log1p()]
            if self.spectrum:
                of_graphs.append(laplacian_spectrum(exact, layout.sizes, self.spectrum))
            adjacency = exact.to(like)
            of_pairs = [layout.upper((adjacency @ adjacency)[None]).log1p()]
            if self.walks:
                powers = (random_walks(adjacency, self.walks) * layout.sizes[:, None, None]).log1p()
                of_nodes.append(powers.diagonal(dim1=-2, dim2=-1).permute(1, 2, 0))
                of_pairs.append(layout.upper(powers))
            nodes = layout.rows(torch.cat([f.to(like) for f in of_nodes], dim=-1))
            return nodes, torch.cat(of_pairs, dim=1), torch.cat(of_graphs, dim=1).to(like)
