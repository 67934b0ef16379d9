r"""The law of a field given what is known of it: kriging, regression, and spikes where genes are silent.

Most of what can be said about a hidden value of a tissue is linear: what cells nearby have (kriging), and
what other genes of the cell say (regression). First each feature g of node i is kriged from where it is
known, mean :math:`k_{ig}` and variance :math:`w_{ig}`. A gene varies here and is silent there, so that the
variance is that of this graph: it is multiplied by :math:`(c + \sum z^2) / (c + n)` over the n known values,
each kriged from the others, z what that leaves in standard deviations; c is 10, 50 or infinity, whichever has
the least CRPS in holes.
What kriging leaves, :math:`z_{ig} = (x_{ig} - k_{ig}) / \sqrt{w_{ig}}`, is related between the
features of a node, with covariance R, so that those that are known (k) tell of those that are not (u):

.. math:: m_u = k_u + \sqrt{w_u}\, R_{uk} R_{kk}^{-1} z_k, \qquad
    v_u = w_u\, \mathrm{diag}(R_{uu} - R_{uk} R_{kk}^{-1} R_{ku}) .

Known features are kriged as if they were hidden where the unknown ones are, so that z means the same for
both: from the nodes where those are known, or, where entries are missing at random, from all other nodes. R
is measured for each of these cases, and for that in which no node tells anything.

Values of a feature at several nodes hang together: their covariance is that of kriging, scaled to v. So m and
v of a node are taken given the noisy values of the other nodes, too (`noisefold.nn.prior.joint_gaussian`),
and what is drawn is a field, not a heap of values. Not where entries are missing at random, whose neighbours
are known, and not among more than 800 nodes, whose eigenvectors would take seconds.

A gene that is often silent has no normal law. Where a fiftieth of the values or more are the least one, the
law is a spike and a slab (`noisefold.nn.prior.spike_and_slab`), made of that mean and variance; how far the
variance is believed, or whether a normal law does better after all, is chosen by CRPS in holes, gene by gene.

Source: this library. Journel and Huijbregts, Mining Geostatistics (1978), for kriging.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn.prior.covariance import JITTER, LEAST, NUGGETS, crps, grid, matern, tried
from noisefold.nn.prior.joint_gaussian import JointGaussian
from noisefold.nn.prior.spike_and_slab import SpikeAndSlab

__all__ = ["FieldPrior", "Foretold"]

_MOST, _KEPT = 4.0, 256
_PRIORS = (10.0, 50.0, math.inf)  # known values that the spread measured in training counts for
_CASES = ("nothing", "hole", "scattered")  # which nodes tell of a value
_FEW, _MANY = 8, 800  # laws of what is known, and nodes, up to which values hang together
_SILENT, _SAME = 0.02, 1e-4  # least share of values that make a spike, and how far apart they may be
_BELIEFS = (-1.0, 0.0, 0.5, 1.0)
_FITTED = 16


@dataclass(frozen=True, eq=False)
class Foretold:
    """Mean and variance ``[n, columns]`` of a graph's values, and which of them hang together how."""

    mean: Tensor
    variance: Tensor
    together: tuple[JointGaussian, ...] = ()

    def seen(self, state: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of each value given the noisy values of other nodes, at signal a and noise b."""
        mean, variance = self.mean.clone(), self.variance.clone()
        for some in self.together:
            at = (some.rows[:, None], some.features)
            mean[at], variance[at] = some.others(self.mean[at], state[at], a, b)
        return mean, variance.clamp(LEAST, _MOST)


class FieldPrior(nn.Module):
    """The law of a field of features given some of its values: kriging, regression, and spikes.

    It belongs to the features in their order. `learn` measures it; all that is measured is in buffers.

    Parameters
    ----------
    columns
        Features.
    dim
        Dimension of space.
    kernels
        Covariances in space that features choose from.
    """

    learned: Tensor
    length: Tensor
    nugget: Tensor
    stretch: Tensor
    choice: Tensor
    spread: Tensor
    trust: Tensor
    related: Tensor
    spike: Tensor
    above: Tensor
    slab: Tensor
    belief: Tensor

    def __init__(self, columns: int, dim: int, kernels: int = 6) -> None:
        super().__init__()
        self.columns = columns
        self.register_buffer("learned", torch.tensor(False))
        self.register_buffer("length", torch.ones(kernels))
        self.register_buffer("nugget", torch.full((kernels,), 0.5))
        self.register_buffer("stretch", torch.ones(kernels, dim))
        self.register_buffer("choice", torch.zeros(columns, dtype=torch.int64))
        self.register_buffer("spread", torch.ones(columns))
        self.register_buffer("trust", torch.zeros(columns))
        self.register_buffer("related", torch.eye(columns).repeat(len(_CASES), 1, 1))
        self.register_buffer("spike", torch.zeros(columns))
        self.register_buffer("above", torch.ones(2, columns))
        self.register_buffer("slab", torch.ones(columns))
        self.register_buffer("belief", torch.full((columns,), -1.0))
        self._kept: dict[bytes, Foretold] = {}
        forget = self.register_load_state_dict_post_hook
        forget(lambda module, _: module._kept.clear())  # type: ignore[no-untyped-call]

    # -- measuring ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def learn(self, graphs: Graphs, ridge: float = 0.02) -> FieldPrior:
        """Measure covariances on graphs of which all is known, in standard units.

        Covariances in space are Matern 3/2 with a nugget, axes stretched or not. Each of a grid is tried: in
        holes and at single nodes of the graphs, by CRPS. As many as there are kernels are kept, each the one
        that, beside those before it, lowers the sum of the features' best scores most.

        Parameters
        ----------
        graphs
            Some patches, of a few hundred nodes each; covariances in space are chosen on the first 16.
        ridge
            Added to the variances of the regression.

        Raises
        ------
        ValueError
            If the number of features is another, or no graph has three nodes that stand apart.
        """
        if graphs.features != self.columns:
            raise ValueError(f"graphs must have {self.columns} features, got {graphs.features}.")
        apart = [i for i, pos in enumerate(graphs.unpack()) if len(pos) > 2 and bool((pos != pos[0]).any())]
        if not apart:
            raise ValueError(
                "covariances in space are measured on graphs of three nodes or more that do not all stand at "
                "one place, and there is none; take another network (-o net.kind=nn.SetTransformer)."
            )
        graphs = graphs[apart].to(self.length.device)
        parts = list(self._holes(graphs[:_FITTED]))
        laws = grid(parts[0][0])
        found = [tried(parts, length, axes) for length, axes in laws]
        fit = -torch.stack([f for f, _ in found], 1).flatten(1)  # [features, laws x nuggets]
        scale = torch.stack([s for _, s in found], 1).flatten(1)
        chosen: list[int] = []
        best = fit.new_full((len(fit),), -math.inf)
        for _ in range(len(self.length)):
            gains = torch.maximum(fit, best[:, None]).sum(0)
            chosen.append(int(gains.argmax()))
            best = torch.maximum(best, fit[:, chosen[-1]])
        self.choice.copy_(fit[:, chosen].argmax(1))
        picked = torch.tensor(chosen, device=fit.device)
        self.spread.copy_(scale.gather(1, picked[self.choice][:, None])[:, 0])
        self.nugget.copy_(torch.tensor([NUGGETS[k % len(NUGGETS)] for k in chosen]))
        self.length.copy_(torch.tensor([laws[k // len(NUGGETS)][0] for k in chosen]))
        self.stretch.copy_(torch.stack([laws[k // len(NUGGETS)][1] for k in chosen]))
        self._weigh(graphs)
        self._relate(graphs, ridge)
        self._find_spikes(graphs)
        self.learned.fill_(True)
        self._kept.clear()
        return self

    def _holes(self, graphs: Graphs) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Each graph's positions and values, and which nodes are left if a third is cut out."""
        assert graphs.x is not None
        for start, end in pairwise(graphs.ptr.tolist()):
            pos = graphs.pos[start:end].float()
            away = (pos - pos[0]).square().sum(1)
            left = away > away.sort().values[len(pos) // 3]
            yield pos, graphs.x[start:end].float(), left if bool(left.any()) else away > 0

    def _weigh(self, graphs: Graphs) -> None:
        """How much the spread of a graph counts beside that of all, ``trust = 1 / c``, feature by feature."""
        scores = []
        for prior in _PRIORS:
            self.trust.fill_(1 / prior)
            score = torch.zeros_like(self.trust)
            for pos, x, there in self._holes(graphs):
                mean, variance = self._kriged(pos, x, there[:, None].expand_as(x), loo=False)
                score += crps(x, mean, variance.sqrt())[~there].sum(0)
            scores.append(score)
        best = torch.stack(scores).argmin(0)
        self.trust.copy_(1 / torch.tensor(_PRIORS, device=best.device)[best])

    def _relate(self, graphs: Graphs, ridge: float) -> None:
        """Covariance R of what kriging leaves: where it knows nothing, in holes, at each node from others."""
        assert graphs.x is not None
        left: list[list[Tensor]] = [[graphs.x.float()], [], []]
        for pos, x, there in self._holes(graphs):
            for case, at in ((1, there), (2, torch.ones_like(there))):
                mean, variance = self._kriged(pos, x, at[:, None].expand_as(x), loo=case == 2)
                inside = ~there if case == 1 else there
                left[case].append(((x - mean) / variance.sqrt())[inside])
        for case, parts in enumerate(left):
            z = torch.cat(parts).clamp(-8, 8)
            cov = z.T @ z / len(z)
            share = min(1.0, ridge + z.shape[1] / (4 * len(z)))
            # A feature that never changes has no variance, and must not make the matrix singular.
            own = torch.diag(share * cov.diagonal() + JITTER)
            self.related[case] = (1 - share) * cov + own

    def _find_spikes(self, graphs: Graphs) -> None:
        """Which features have a spike, what the others of their values are, and how their law is made."""
        assert graphs.x is not None
        x = graphs.x.float()
        self.spike.copy_(x.amin(0))
        up = x - self.spike
        rest = up > _SAME
        silent = (~rest).float().mean(0)
        count = rest.sum(0).clamp(min=1)
        self.above.copy_(torch.stack([up.mean(0), (up * rest).sum(0) / count]))
        self.slab.copy_((((up - self.above[1]) * rest).square().sum(0) / count).clamp(min=LEAST))
        scores = torch.zeros(len(_BELIEFS), self.columns).to(x)
        for pos, value, there in self._holes(graphs[:_FITTED]):
            known = there[:, None].expand_as(value)
            found = self._predict(pos, torch.where(known, value, 0.0), known, together=False)
            for score, belief in zip(scores, _BELIEFS, strict=True):
                self.belief.fill_(belief)
                score += self.law(found.mean, found.variance).crps(value)[~there].sum(0)
        best = torch.tensor(_BELIEFS).to(x)[scores.argmin(0)]
        self.belief.copy_(torch.where((silent >= _SILENT) & (silent < 1), best, -1.0))

    # -- predicting --------------------------------------------------------------------------------------

    def law(self, mean: Tensor, variance: Tensor) -> SpikeAndSlab:
        """The laws of values ``[n, columns]`` of these means and variances."""
        return SpikeAndSlab.matched(mean, variance, self.spike, self.above, self.slab, self.belief)

    def predicted(self, graphs: Graphs, value: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance ``[n, columns]`` given the values where known; of no use where they are."""
        found = self.foretold(graphs, value, known)
        return torch.cat([one.mean for one in found]), torch.cat([one.variance for one in found])

    def foretold(self, graphs: Graphs, value: Tensor, known: Tensor) -> list[Foretold]:
        """For each graph what is predicted of its values ``[n, columns]``, given them where known.

        In evaluation predictions are kept for as long as the same is known of the same graph: each step of a
        solver asks again.
        """
        out = []
        value = torch.where(known, value.float(), 0.0)  # a product would leave zeros of either sign
        for start, end in pairwise(graphs.ptr.tolist()):
            args = (graphs.pos[start:end].float(), value[start:end], known[start:end])
            if self.training:
                found = self._predict(*args)
            else:
                key = hashlib.blake2b(b"".join(v.cpu().numpy().tobytes() for v in args)).digest()
                if key not in self._kept:
                    if len(self._kept) >= _KEPT:
                        self._kept.clear()
                    self._kept[key] = self._predict(*args)
                found = self._kept[key]
            out.append(found)
        return out

    def _predict(self, pos: Tensor, value: Tensor, known: Tensor, together: bool = True) -> Foretold:
        laws, group = known.unique(dim=0, return_inverse=True)
        if len(laws) > _FEW:
            mean, variance = self._kriged(pos, value, known, loo=True)
            return Foretold(*self._told(mean, variance, value, laws, group, 2))
        mean, variance = torch.zeros_like(value), torch.ones_like(value)
        hang: list[JointGaussian] = []
        for i, law in enumerate(laws):
            if bool(law.all()):
                continue
            rows = group == i
            full = known[:, ~law].all(1)  # the nodes where all is known that is unknown here
            case = int(bool(full.any()))
            if case:
                k, w = self._kriged(pos, value, known & full[:, None], loo=False)
                mean[rows], variance[rows] = k[rows], w[rows]
            mean, variance = self._told(mean, variance, value, laws, group, case, only=i)
            if together and int(rows.sum()) <= _MANY:
                hang += self._hang(pos, rows.nonzero().view(-1), full.nonzero().view(-1), ~law, variance)
        return Foretold(mean, variance, tuple(hang))

    def _hang(
        self, pos: Tensor, rows: Tensor, at: Tensor, unknown: Tensor, variance: Tensor
    ) -> Iterator[JointGaussian]:
        """How values at nodes `rows` hang together, given those at nodes `at`."""
        for number in self.choice[unknown].unique().tolist():
            features = (unknown & (self.choice == number)).nonzero().view(-1)
            both = torch.cat([rows, at])
            cov = self._shared(pos[both], number) + (self.nugget[number] + JITTER) * torch.eye(len(both)).to(
                pos
            )
            r = len(rows)
            left = cov[:r, :r]
            if len(at):
                root = torch.linalg.cholesky(cov[r:, r:])
                half = torch.linalg.solve_triangular(root, cov[r:, :r], upper=False)
                left = left - half.T @ half
            scale = (variance[rows[:, None], features] / left.diagonal()[:, None]).mean(0)
            values, vectors = torch.linalg.eigh(left)
            yield JointGaussian(rows, features, vectors, values.clamp(min=LEAST), scale)

    def _shared(self, pos: Tensor, number: int) -> Tensor:
        """What nodes have in common by a covariance, ``[n, n]``, without the nugget of each."""
        place = pos * self.stretch[number]
        return (1 - self.nugget[number]) * matern(torch.cdist(place, place) / self.length[number])

    def _kriged(self, pos: Tensor, value: Tensor, known: Tensor, loo: bool) -> tuple[Tensor, Tensor]:
        """Each feature alone; with `loo`, what is known from all the other nodes, and else as it is."""
        mean, variance = torch.zeros_like(value), torch.ones_like(value)
        kernels = torch.arange(len(self.length), device=pos.device)
        kind = torch.cat([known.T, self.choice[:, None] == kernels], dim=1)
        laws, group = kind.unique(dim=0, return_inverse=True)
        gaps: dict[int, Tensor] = {}
        for i, law in enumerate(laws):
            there, number = law[: len(pos)], int(law[len(pos) :].nonzero()[0, 0])
            features = (group == i).nonzero().view(-1)
            if not bool(there.any()):
                continue
            if number not in gaps:
                gaps[number] = self._shared(pos, number)
            at, off = there.nonzero().view(-1), (~there).nonzero().view(-1)
            cov = gaps[number][at]
            inner = cov[:, at] + (self.nugget[number] + JITTER) * torch.eye(len(at)).to(pos)
            root = torch.linalg.cholesky(inner)
            given = value[at][:, features]
            inverse = torch.cholesky_inverse(root)
            own = inverse.diagonal()[:, None]
            away = inverse @ given / own
            z = away.square() * own / self.spread[features]
            spread = (
                self.spread[features]
                * (1 + z.sum(0) * self.trust[features])
                / (1 + len(at) * self.trust[features])
            )
            if len(off):
                right = torch.cat([cov[:, off], given], dim=1)
                half = torch.linalg.solve_triangular(root, right, upper=False)
                across, whitened = half[:, : len(off)], half[:, len(off) :]
                mean[off[:, None], features] = across.T @ whitened
                left = 1 + JITTER - across.square().sum(0)
                variance[off[:, None], features] = left[:, None] * spread
            if loo:
                mean[at[:, None], features] = given - away
                variance[at[:, None], features] = spread / own
        return mean, variance.clamp(LEAST, _MOST)

    def _told(
        self,
        mean: Tensor,
        variance: Tensor,
        value: Tensor,
        laws: Tensor,
        group: Tensor,
        case: int,
        only: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """The same, given what is known of other features at the node."""
        related = self.related[case]
        eye = torch.eye(len(related)).to(value)
        wanted = [i for i, law in enumerate(laws) if not bool(law.all()) and only in (None, i)]
        step = max(1, (1 << 22) // related.numel())
        mean, variance = mean.clone(), variance.clone()
        for start in range(0, len(wanted), step):
            some = wanted[start : start + step]
            there = laws[some].to(value.dtype)
            cov = related * there[:, :, None]
            # Rows and columns of what is unknown are those of the identity, so that all have one size.
            inner = cov * there[:, None, :] + eye * (1 - there)[:, :, None]
            root = torch.linalg.cholesky(inner)
            half = torch.linalg.solve_triangular(root, cov, upper=False)
            left = (related.diagonal() - half.square().sum(1)).clamp(min=LEAST)
            for i, lower, across, v in zip(some, root, half, left, strict=True):
                rows = (group == i).nonzero().view(-1)
                hidden = (~laws[i]).nonzero().view(-1)
                k, spread = mean[rows], variance[rows].sqrt()
                z = (value[rows] - k) / spread * laws[i]
                given = across.T @ torch.linalg.solve_triangular(lower, z.T, upper=False)
                mean[rows[:, None], hidden] = (k + spread * given.T)[:, hidden]
                variance[rows[:, None], hidden] = (variance[rows] * v)[:, hidden]
        return mean, variance.clamp(LEAST, _MOST)
