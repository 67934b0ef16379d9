"""Fields with a known correlation, on random points."""

import torch

from noisefold.geometry import Graphs


def gaussian_fields(correlation, graphs, nodes, seed, features=1, side=1.0):
    """Graphs on uniform points in a square, with independent features of unit variance."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(graphs, nodes, 2, generator=generator, dtype=torch.float64) * side
    covariance = correlation(torch.cdist(pos, pos, compute_mode="donot_use_mm_for_euclid_dist"))
    root = torch.linalg.cholesky(covariance + 1e-9 * torch.eye(nodes))
    return Graphs.dense(
        pos, root @ torch.randn(graphs, nodes, features, generator=generator, dtype=torch.float64)
    )
