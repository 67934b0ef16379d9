"""Noise given that it is zero at observed entries: against dense algebra, ragged, entry by entry."""

import pytest
import torch

from noisefold.geometry import DivergenceFree, Graphs, IndependentOutputs, SquaredExponential
from noisefold.noise import ConditionalNoise, GPNoise, Nugget, Stationary, White

SCALAR = GPNoise(Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1))
VECTORS = GPNoise(0.9 * DivergenceFree(0.5) + IndependentOutputs(Nugget(0.1), 2))
KINDS = pytest.mark.parametrize("source", [SCALAR, VECTORS], ids=["scalar", "vectors"])


def batch(*sizes):
    generator = torch.Generator().manual_seed(0)
    pos = [torch.randn(n, 2, generator=generator, dtype=torch.float64) for n in sizes]
    mask = torch.rand(sum(sizes), 2, generator=generator) < 0.4
    values = torch.randn(sum(sizes), 2, generator=generator, dtype=torch.float64)
    return Graphs.ragged(pos), mask, values


def dense(source, pos):
    k = source.covariance(pos)
    return k if len(k) == 2 * len(pos) else torch.kron(k, torch.eye(2).double())


@KINDS
def test_kriging_of_every_entry(source):
    """Each column with its own observed entries; all, none and no nodes at all among the graphs."""
    graphs, mask, values = batch(6, 0, 9, 4, 5)
    mask[-9:-5], mask[-5:] = False, True
    noise = ConditionalNoise.of(source, graphs, mask)
    found = noise.extend(values)
    for pos, seen, v, out in zip(*map(graphs.unpack, (graphs.pos, mask, values, found)), strict=True):
        k, o = dense(source, pos), seen.flatten()
        expected = torch.where(o, v.flatten(), k[:, o] @ torch.linalg.solve(k[o][:, o], v.flatten()[o]))
        torch.testing.assert_close(out.flatten(), expected, rtol=0, atol=1e-12)
    left = noise.residual(values)
    assert not left[mask].any()
    torch.testing.assert_close(noise.residual(left), left, rtol=0, atol=0)
    single = noise.extend(values.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, rtol=0, atol=1e-5)


class Units:
    """Streams that give graph k of v values the unit vector k of these, so that draws are columns of L."""

    def normal(self, sizes, columns, like):
        return torch.eye(len(sizes)).to(like).reshape(-1, columns)


@KINDS
def test_draws_have_the_schur_complement(source):
    """The inverse of the block of the inverse, from the response to every number drawn."""
    one, mask, _ = batch(4)
    graphs = one[[0] * 8]
    noise = ConditionalNoise.of(source, graphs, mask.repeat(8, 1))
    assert len(noise.groups) == 1
    eps = noise.draw(graphs, 2, Units()).reshape(8, 8)
    hidden = ~mask.flatten()
    c = torch.linalg.inv(torch.linalg.inv(dense(source, one.pos))[hidden][:, hidden])
    torch.testing.assert_close((eps.T @ eps)[hidden][:, hidden], c, rtol=0, atol=1e-12)
    assert not eps[:, ~hidden].any()


def test_refuses_what_it_cannot_condition():
    graphs, mask, _ = batch(4)
    with pytest.raises(ValueError, match=r"source must be GPNoise.*White"):
        ConditionalNoise.of(White(), graphs, mask)
    with pytest.raises(ValueError, match=r"observed must have one row for each of the 4 nodes"):
        ConditionalNoise.of(SCALAR, graphs, mask[:3])
