r"""Posterior of a field given observed values: kriging, regression between features, and point masses.

Most of what can be predicted of an unobserved value of a tissue is linear: from the values of cells nearby
(kriging), and from other genes of the cell (regression). First each feature g of node i is kriged from the
nodes where it is observed, with mean :math:`k_{ig}` and variance :math:`w_{ig}`. A gene may vary in one graph
and be silent in another, so the variance is adapted to the graph: it is multiplied by
:math:`(c + \sum z^2) / (c + n)` over the n observed values, z their standardised leave-one-out residuals;
c is 10, 50 or infinity, whichever has the least CRPS in holes. The standardised residuals
:math:`z_{ig} = (x_{ig} - k_{ig}) / \sqrt{w_{ig}}` of a node have the covariance R between features, so that
observed features (o) predict unobserved ones (u):

.. math:: m_u = k_u + \sqrt{w_u}\, R_{uo} R_{oo}^{-1} z_o, \qquad
    v_u = w_u\, \mathrm{diag}(R_{uu} - R_{uo} R_{oo}^{-1} R_{ou}) .

Observed features are kriged as if they were missing at the same nodes as the unobserved ones, so that z means
the same for both: from the nodes where those are observed, or, where entries are missing at random, from all
other nodes. R is estimated for each of these cases, and for that in which no node is observed.

Values of a feature at several nodes are correlated: their covariance is that of kriging, scaled to v. Mean
and variance of a node are therefore conditioned on the noisy values of the other nodes as well
(`noisefold.nn.prior.joint_gaussian`), so that samples are spatially coherent. This is left out where entries
are missing at random, since neighbours are then observed, and beyond 800 nodes, for the cost of eigenvectors.

The expression of a gene that is often silent is not normal. Where at least a fiftieth of the values equal the
smallest one, the distribution is a spike and a slab (`noisefold.nn.prior.spike_and_slab`) of that mean and
variance; how far the variance is trusted, or whether a normal distribution predicts better after all, is
chosen by CRPS in holes, gene by gene.

Source: this library; for kriging Rasmussen and Williams, Gaussian Processes for Machine Learning (2006),
https://gaussianprocess.org/gpml/.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn

from noisefold.geometry.gp import condition, eigh, factor, leave_one_out
from noisefold.geometry.graphs import Graphs
from noisefold.nn.prior.covariance import (
    JITTER,
    LEAST,
    MOST,
    NUGGETS,
    candidates,
    correlations,
    cross_validated,
    crps,
)
from noisefold.nn.prior.field_posterior import FieldPosterior
from noisefold.nn.prior.joint_gaussian import JointGaussian
from noisefold.nn.prior.spike_and_slab import SpikeAndSlab

__all__ = ["FieldPrior"]

_KEPT = 256
_PRIORS = (10.0, 50.0, math.inf)  # observed values that the variance measured in training counts for
_CASES = ("nothing", "hole", "scattered")  # which nodes are observed
_FEW, _MANY = 8, 800  # patterns of observed features, and nodes, up to which nodes are joint
_SILENT, _SAME = 0.02, 1e-4  # least share of values that make a spike, and how far apart they may be
_BELIEFS = (-1.0, 0.0, 0.5, 1.0)
_FITTED = 16


class FieldPrior(nn.Module):
    """Distribution of a field of features given some of its values: kriging, regression and point masses.

    It belongs to the features in their order. `learn` measures it; all that is measured is in buffers.

    Parameters
    ----------
    columns
        Number of features.
    dim
        Dimension of space.
    kernels
        Number of covariances in space that features choose from.
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
        self._kept: dict[bytes, FieldPosterior] = {}
        forget = self.register_load_state_dict_post_hook
        forget(lambda module, _: module._kept.clear())  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """Say what it is over."""
        return f"{self.columns} features, {self.stretch.shape[1]}-D, {len(self.length)} kernels"

    # -- measuring ---------------------------------------------------------------------------------------

    @torch.no_grad()
    def learn(self, graphs: Graphs, ridge: float = 0.02) -> FieldPrior:
        """Estimate covariances from completely observed graphs in standard units.

        Covariances in space are Matern 3/2 with a nugget, axes stretched or not. Each candidate of a grid is
        scored by CRPS in holes and at single nodes of the graphs. As many as there are kernels are kept,
        greedily: each lowers the sum of the features' best scores most.

        Parameters
        ----------
        graphs
            Some patches, of a few hundred nodes each; covariances in space are chosen on the first 16.
        ridge
            Shrinkage of the covariance between features towards its diagonal, in [0, 1]; with few nodes
            more is added.

        Raises
        ------
        ValueError
            If the number of features differs, no graph has three nodes at two positions, or a covariance has
            no Cholesky factor.
        """
        if graphs.features != self.columns:
            raise ValueError(f"graphs must have {self.columns} features, got {graphs.features}.")
        apart = [i for i, pos in enumerate(graphs.unpack()) if len(pos) > 2 and bool((pos != pos[0]).any())]
        if not apart:
            raise ValueError(
                "no graph has three nodes or more at two positions or more, to estimate covariances in space "
                "from; take another network (-o net.kind=nn.SetTransformer)."
            )
        graphs = graphs[apart].to(self.length.device)
        parts = list(self._holes(graphs[:_FITTED]))
        tried = candidates(parts[0][0])
        found = [cross_validated(parts, length, axes) for length, axes in tried]
        fit = -torch.stack([f for f, _ in found], 1).flatten(1)  # [features, candidates x nuggets]
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
        self.length.copy_(torch.tensor([tried[k // len(NUGGETS)][0] for k in chosen]))
        self.stretch.copy_(torch.stack([tried[k // len(NUGGETS)][1] for k in chosen]))
        self._choose_trust(graphs)
        self._estimate_related(graphs, ridge)
        self._find_spikes(graphs)
        self.learned.fill_(True)
        self._kept.clear()
        return self

    def _holes(self, graphs: Graphs) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield each graph's positions and values, and which nodes are left if a third is cut out."""
        assert graphs.x is not None
        for start, end in pairwise(graphs.ptr.tolist()):
            pos = graphs.pos[start:end].float()
            away = (pos - pos[0]).square().sum(1)
            left = away > away.sort().values[len(pos) // 3]
            yield pos, graphs.x[start:end].float(), left if bool(left.any()) else away > 0

    def _choose_trust(self, graphs: Graphs) -> None:
        """Choose by CRPS how far a graph's own variance is trusted, ``trust = 1 / c``, feature by feature."""
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

    def _estimate_related(self, graphs: Graphs, ridge: float) -> None:
        """Estimate the covariance R of standardised residuals for each of the cases."""
        assert graphs.x is not None
        residuals: list[list[Tensor]] = [[graphs.x.float()], [], []]
        for pos, x, there in self._holes(graphs):
            for case, at in ((1, there), (2, torch.ones_like(there))):
                mean, variance = self._kriged(pos, x, at[:, None].expand_as(x), loo=case == 2)
                inside = ~there if case == 1 else there
                residuals[case].append(((x - mean) / variance.sqrt())[inside])
        for case, parts in enumerate(residuals):
            z = torch.cat(parts).clamp(-8, 8)
            cov = z.T @ z / len(z)
            share = min(1.0, ridge + z.shape[1] / (4 * len(z)))
            # A constant feature has no variance, and must not make the matrix singular.
            own = torch.diag(share * cov.diagonal() + JITTER)
            self.related[case] = (1 - share) * cov + own

    def _find_spikes(self, graphs: Graphs) -> None:
        """Find which features have a spike, the moments of their slab, and how far variances are trusted."""
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
            found = self._predict(pos, torch.where(known, value, 0.0), known, joint=False)
            for score, belief in zip(scores, _BELIEFS, strict=True):
                self.belief.fill_(belief)
                score += self.distribution(found.mean, found.variance).crps(value)[~there].sum(0)
        best = torch.tensor(_BELIEFS).to(x)[scores.argmin(0)]
        self.belief.copy_(torch.where((silent >= _SILENT) & (silent < 1), best, -1.0))

    # -- predicting --------------------------------------------------------------------------------------

    def distribution(self, mean: Tensor, variance: Tensor) -> SpikeAndSlab:
        """Return the distributions of values with means and variances ``[n, columns]``."""
        return SpikeAndSlab.matched(mean, variance, self.spike, self.above, self.slab, self.belief)

    def moments(self, graphs: Graphs, value: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance ``[n, columns]`` given the observed values; meaningless where observed."""
        found = self.posterior(graphs, value, known)
        return torch.cat([one.mean for one in found]), torch.cat([one.variance for one in found])

    def posterior(self, graphs: Graphs, value: Tensor, known: Tensor) -> list[FieldPosterior]:
        """Return each graph's posterior, given ``value [n, columns]`` where ``known [n, columns]``.

        In evaluation mode results are cached by graph and observed values, since each step of a solver asks
        again.
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

    def _predict(self, pos: Tensor, value: Tensor, known: Tensor, joint: bool = True) -> FieldPosterior:
        patterns, group = known.unique(dim=0, return_inverse=True)
        if len(patterns) > _FEW:
            mean, variance = self._kriged(pos, value, known, loo=True)
            return FieldPosterior(*self._regressed(mean, variance, value, patterns, group, 2))
        mean, variance = torch.zeros_like(value), torch.ones_like(value)
        parts: list[JointGaussian] = []
        for i, pattern in enumerate(patterns):
            if bool(pattern.all()):
                continue
            rows = group == i
            full = known[:, ~pattern].all(1)  # the nodes where all is observed that is not observed here
            case = int(bool(full.any()))
            if case:
                k, w = self._kriged(pos, value, known & full[:, None], loo=False)
                mean[rows], variance[rows] = k[rows], w[rows]
            mean, variance = self._regressed(mean, variance, value, patterns, group, case, only=i)
            if joint and int(rows.sum()) <= _MANY:
                at = full.nonzero().view(-1)
                parts += self._joint(pos, rows.nonzero().view(-1), at, ~pattern, variance)
        return FieldPosterior(mean, variance, tuple(parts))

    def _joint(
        self, pos: Tensor, rows: Tensor, at: Tensor, unknown: Tensor, variance: Tensor
    ) -> Iterator[JointGaussian]:
        """Yield the joint Gaussians of the values at nodes `rows`, given those at nodes `at`."""
        for number in self.choice[unknown].unique().tolist():
            features = (unknown & (self.choice == number)).nonzero().view(-1)
            both = torch.cat([rows, at])
            cov = self._shared(pos[both], number)
            cov = cov + (self.nugget[number] + JITTER) * torch.eye(len(both)).to(pos)
            r = len(rows)
            left = cov[:r, :r]
            if len(at):
                left = condition(factor(cov[r:, r:]), cov[r:, :r]).covariance(left)
            scale = (variance[rows[:, None], features] / left.diagonal()[:, None]).mean(0)
            values, vectors = eigh(left)
            yield JointGaussian(rows, features, vectors, values.clamp(min=LEAST), scale)

    def _shared(self, pos: Tensor, number: int) -> Tensor:
        """Return the covariance ``[n, n]`` of one kernel, without the nugget on the diagonal."""
        return (1 - self.nugget[number]) * correlations(pos * self.stretch[number], self.length[number])

    def _kriged(self, pos: Tensor, value: Tensor, known: Tensor, loo: bool) -> tuple[Tensor, Tensor]:
        """Return kriging mean and variance of each feature; with `loo` of observed values from the others."""
        mean, variance = torch.zeros_like(value), torch.ones_like(value)
        kernels = torch.arange(len(self.length), device=pos.device)
        kind = torch.cat([known.T, self.choice[:, None] == kernels], dim=1)
        kinds, group = kind.unique(dim=0, return_inverse=True)
        shared: dict[int, Tensor] = {}
        for i, one in enumerate(kinds):
            there, number = one[: len(pos)], int(one[len(pos) :].nonzero()[0, 0])
            features = (group == i).nonzero().view(-1)
            if not bool(there.any()):
                continue
            if number not in shared:
                shared[number] = self._shared(pos, number)
            at, off = there.nonzero().view(-1), (~there).nonzero().view(-1)
            cov = shared[number][at]
            observed = factor(cov[:, at] + (self.nugget[number] + JITTER) * torch.eye(len(at)).to(pos))
            single = leave_one_out(observed, value[at][:, features])
            z = single.residual.square() * single.precision / self.spread[features]
            spread = (
                self.spread[features]
                * (1 + z.sum(0) * self.trust[features])
                / (1 + len(at) * self.trust[features])
            )
            if len(off):
                conditional = condition(observed, cov[:, off], single.values)
                mean[off[:, None], features] = conditional.mean()
                variance[off[:, None], features] = conditional.variance(1 + JITTER)[:, None] * spread
            if loo:
                mean[at[:, None], features] = single.mean
                variance[at[:, None], features] = spread / single.precision
        return mean, variance.clamp(LEAST, MOST)

    def _regressed(
        self,
        mean: Tensor,
        variance: Tensor,
        value: Tensor,
        patterns: Tensor,
        group: Tensor,
        case: int,
        only: int | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return mean and variance given the observed features of the same node as well."""
        related = self.related[case]
        eye = torch.eye(len(related)).to(value)
        wanted = [i for i, pattern in enumerate(patterns) if not bool(pattern.all()) and only in (None, i)]
        step = max(1, (1 << 22) // related.numel())
        mean, variance = mean.clone(), variance.clone()
        for start in range(0, len(wanted), step):
            some = wanted[start : start + step]
            there = patterns[some].to(value.dtype)
            cov = related * there[:, :, None]
            # Rows and columns of unobserved features are those of the identity, so that all have one size.
            observed = factor(cov * there[:, None, :] + eye * (1 - there)[:, :, None])
            conditional = condition(observed, cov)
            left = conditional.variance(related.diagonal()).clamp(min=LEAST)
            for place, (i, given) in enumerate(zip(some, conditional.unbind(), strict=True)):
                rows = (group == i).nonzero().view(-1)
                hidden = (~patterns[i]).nonzero().view(-1)
                k, spread = mean[rows], variance[rows].sqrt()
                z = (value[rows] - k) / spread * patterns[i]
                mean[rows[:, None], hidden] = (k + spread * given.mean(z.T).T)[:, hidden]
                variance[rows[:, None], hidden] = (variance[rows] * left[place])[:, hidden]
        return mean, variance.clamp(LEAST, MOST)
