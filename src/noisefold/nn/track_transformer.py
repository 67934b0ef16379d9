r"""Transformer for tracks on the sphere, around the answer of a Gaussian process.

Where a track is smooth, the best estimate of a place is an average over its neighbours in time, over the
longer a time the noisier it is. A Gaussian process of the track (`noisefold.geometry.TrackKernel`) takes that
average exactly, for every noise level, irregular times and observed places among noisy ones. With
:math:`A = e^{-s}` and noise :math:`N = (1 - e^{-2 s}) / 2` for noisy places, 1 and `least` for observed ones,

.. math:: w = (A K A + N)^{-1} x, \qquad m = K A\, w, \qquad \dot m = \partial_t K A\, w, \qquad
    g = -\sqrt s\, P_x w .

:math:`g` is the score (times :math:`\sqrt s`) of the Gaussian process, of unit scale at every noise level,
and the network learns what it leaves:

.. math:: h = \mathrm{MLP}[\mathrm{Fourier}(t), x, m, \dot m, g, \text{observed}], \qquad
    h \leftarrow \mathrm{Transformer}_k(h; t, \lambda), \qquad y = g + W\, \mathrm{norm}(h; \lambda) .

Vectors are seen in a frame that is turned about the poles to the mean longitude of m, and the answer is
turned back: the network is told this longitude besides. Further features of the state are not smoothed.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.gp import factor
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.track_kernel import TrackKernel
from noisefold.nn.attention import RelativePosition, Transformer
from noisefold.nn.blocks import Condition, Fourier, Modulation, in_out, perceptron, zeroed

__all__ = ["TrackTransformer"]

_SEEN = 19  # columns of the inputs of a node, besides the Fourier features of its time
_LIMIT = 5.0  # of inputs, which are of unit scale where the Gaussian process fits


@register_module
class TrackTransformer(nn.Module):
    r"""Transformer over the places of a track, whose untrained answer is that of a Gaussian process.

    It answers `noisefold.noise.TangentScore` on the sphere.

    Shapes:
        - **graphs** times ``[n, 1]``, unit vectors ``[n, 3]``, and 3 flags for completion
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, 3]``

    Parameters
    ----------
    pos_dim, features, out_dim
        1; 3, or 6 for completion; and 3.
    width, blocks, heads, expansion
        Columns of the nodes, transformer blocks, attention heads, and hidden width of a block's perceptron in
        multiples of its width.
    classes
        Number of classes of graphs, 0 for none.
    frequencies
        Fourier features of the time.
    kernel
        Constant, slope, variance and length of the Gaussian process, in the units of the times.
    least
        Variance of an observed place, in square radians.

    Raises
    ------
    ValueError
        If the dimensions are not those of tracks.
    """

    def __init__(
        self,
        pos_dim: int = 1,
        features: int = 3,
        out_dim: int | None = 3,
        width: int = 64,
        blocks: int = 4,
        heads: int = 4,
        classes: int = 0,
        frequencies: int = 6,
        expansion: int = 2,
        kernel: tuple[float, float, float, float] = (1 / 3, 0.0, 0.1, 1.0),
        least: float = 2e-7,
    ) -> None:
        super().__init__()
        if pos_dim != 1 or features not in (3, 6) or out_dim not in (3, None):
            raise ValueError(
                "pos_dim, features and out_dim must be 1, 3 (or 6) and 3, "
                f"got {pos_dim}, {features}, {out_dim}."
            )
        self.kernel, self.least, self.informed = TrackKernel(*kernel), least, features == 6
        self.fourier = Fourier(1, frequencies, 2 * math.pi / 8, 2 * math.pi * 4)
        self.condition = Condition(width, classes)
        self.lift = perceptron(self.fourier.width + _SEEN, width, width)
        self.places = RelativePosition(1, heads, width // heads, width)
        self.blocks = nn.ModuleList(Transformer(width, width, heads, expansion) for _ in range(blocks))
        self.norm = Modulation(width, width)
        self.head = zeroed(nn.Linear(width, 3))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, 3]`` for noisy graphs at ``log_snr [g]``."""
        assert graphs.x is not None
        times, real = graphs.padded(graphs.pos)
        x, _ = graphs.padded(graphs.x[:, :3])
        observed = x.new_zeros(x.shape[:2])
        if self.informed:
            observed, _ = graphs.padded(graphs.x[:, 3])
        mask = real if graphs.uniform is None else None
        condition = self.condition(log_snr, label)
        # What all tracks share is factorised once.
        shared = slice(1) if _alike(times, observed, real, log_snr) else slice(None)
        smooth = self._smoothed(times[shared, :, 0], x, observed[shared], real[shared], log_snr[shared])
        turn = _turn(smooth[0], real)
        inputs = self._inputs(times, x, observed, smooth, turn)
        encoding = self.places(times, condition)
        h = self.lift(inputs)
        for block in self.blocks:
            h = block(h, condition, mask, encoding)
        out = smooth[2] + torch.einsum("gab,gmb->gma", turn.mT, self.head(self.norm(h, condition)))
        return out.flatten(0, 1) if mask is None else out[mask]

    def _smoothed(
        self, times: Tensor, x: Tensor, observed: Tensor, real: Tensor, log_snr: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return m, its speed and the score g, ``[g, m, 3]``, and the log-variance of m, ``[g, m]``."""
        with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
            s = nn.functional.softplus(-log_snr.double())[:, None] / 2
            seen = observed > 0.5
            keep = torch.where(seen, 1.0, torch.exp(-s))
            noise = torch.where(seen, self.least, -torch.expm1(-2 * s) / 2)
            both = real[:, :, None] & real[:, None, :]
            covariance = self.kernel.matrix(times) * both
            total = keep[:, :, None] * covariance * keep[:, None, :]
            total = total + torch.diag_embed(torch.where(real, noise, 1.0))
            inverse = factor(total, name="the covariance of a noisy track").inverse
            across = covariance * keep[:, None, :]
            speed = self.kernel.derivative(times) * both * keep[:, None, :]
            left = covariance.diagonal(dim1=1, dim2=2) - (across @ inverse * across).sum(-1)
            certain = torch.log(left.clamp(min=1e-9)) / 10 + 1
        w = inverse @ x.double()
        m, rate = across @ w, speed @ w / max(self.kernel.speed, 1e-9)
        g = -s.sqrt()[..., None] * w
        point = x.double()
        g = g - (g * point).sum(-1, keepdim=True) * point
        return m.to(x), rate.to(x), g.to(x), certain.to(x)

    def _inputs(
        self,
        times: Tensor,
        x: Tensor,
        observed: Tensor,
        smooth: tuple[Tensor, Tensor, Tensor, Tensor],
        turn: Tensor,
    ) -> Tensor:
        m, rate, g, certain = smooth
        vectors = [torch.einsum("gab,gmb->gma", turn, v) for v in (x, m, rate, g, m - x)]
        longitude = turn[:, None, 0, :2].expand(-1, x.shape[1], -1)
        rest = torch.stack([observed, certain.expand_as(observed)], -1)
        seen = torch.cat([*vectors, longitude, rest], -1).clamp(-_LIMIT, _LIMIT)
        return torch.cat([self.fourier(times), seen], -1)

    def extra_repr(self) -> str:
        """Columns in and out."""
        return in_out(self)


def _alike(*values: Tensor) -> bool:
    """Return whether all rows of each equal its first."""
    return all(len(v) > 1 and bool((v == v[:1]).all()) for v in values)


def _turn(m: Tensor, real: Tensor) -> Tensor:
    """Return rotations about the poles ``[g, 3, 3]`` that take the mean of ``m [g, k, 3]`` to longitude 0."""
    east = (m[..., :2] * real[..., None]).sum(1)
    east = east / east.square().sum(1, keepdim=True).clamp(min=1e-16).sqrt()
    cosine, sine = east.unbind(1)
    zero, one = torch.zeros_like(cosine), torch.ones_like(cosine)
    rows = [cosine, sine, zero, -sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, 1).reshape(-1, 3, 3)
