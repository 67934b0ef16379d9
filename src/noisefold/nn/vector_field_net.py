r"""Equivariant convolutions for vector fields: values that turn with space, on nodes anywhere.

Every node has scalars :math:`h_i` and several vectors :math:`V_i^a`. In each layer it receives weighted sums
over its senders j, with weights :math:`w_{ij}` and unit vectors :math:`u_{ij}` of
`noisefold.nn.neighborhoods`, and Gaussians :math:`\phi_b` of the distance. What is sent are scalars
:math:`s_j` and vectors :math:`U_j`, linear in :math:`\mathrm{norm}(h_j)` and :math:`V_j`:

.. math::

    \sum_j w_{ij} \phi_b\, s_j, \quad \sum_j w_{ij} \phi_b\, u_{ij} \cdot U_j
    \quad \text{(scalars)}, \qquad
    \sum_j w_{ij} \phi_b\, U_j, \quad \sum_j w_{ij} \phi_b\, (u_{ij} \cdot U_j)\, u_{ij}, \quad
    \sum_j w_{ij} \phi_b\, s_j u_{ij} \quad \text{(vectors)},

the kinds of covariance that an isotropic vector field can have with its surroundings. Linear maps mix them,
scaled by the noise level; a perceptron of the scalars, the lengths and the inner products of the vectors
updates :math:`h_i` and gates the vectors. The answer is :math:`\sum_a c^a(h_i)\, V_i^a`, or linear in
:math:`h_i` for scalars.

For symmetric tensors of rank two, given by their numbers in an orthonormal basis
(`noisefold.geometry.symmetric_basis`), V and U are such tensors, of which every node has the unit matrix as
well, and :math:`u_{ij} u_{ij}^T` takes the place of :math:`u_{ij}`; what is sent more is
:math:`u_{ij} (U_j u_{ij})^T`, made symmetric.

Translated, rotated or reflected inputs with turned values give turned answers. The noise level sets the
graph: `noisefold.nn.adaptive` gives the range, the senders of a node, and the resolution, into how many
supernodes senders are pooled. Pooled values are averages, so that no measurement is lost.

Source: Thomas et al., Tensor Field Networks (2018), https://arxiv.org/abs/1802.08219; Schütt, Unke and
Gastegger, PaiNN (2021), https://arxiv.org/abs/2102.03150; Noise-Conditioned Graph Networks,
https://arxiv.org/abs/2507.09391.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noisefold.configuration import register_module
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.tensor_kernels import symmetric_basis
from noisefold.nn.adaptive import Adaptive, Fixed
from noisefold.nn.blocks import Condition, in_out, perceptron, zeroed
from noisefold.nn.egnn import basis
from noisefold.nn.linear import Linear
from noisefold.nn.neighborhoods import Neighborhoods
from noisefold.nn.norms import Norm, Rows
from noisefold.noise.schedule import signal_level

__all__ = ["EquivariantFieldNet"]

_TINY = 1e-6  # under square roots, whose slope at 0 is infinite
_RADII = 16  # Gaussians of the radius of a neighbourhood
_FIXED = Fixed(range=24)
_SHAPES = ("vector", "tensor", "scalars")


class _Geometry:
    """Senders and what all layers see of them: weights of each Gaussian, and these times unit vectors."""

    def __init__(
        self, graphs: Graphs, reach: int, resolution: Tensor | None, radial: int, tensors: bool = False
    ) -> None:
        self.senders = Neighborhoods.of(graphs, reach, resolution)
        self.unit, self.shear = self.senders.unit, None
        if tensors:
            basis = symmetric_basis(graphs.dim, self.unit)
            half = torch.einsum("nki,aij->nkaj", self.unit, basis)
            self.shear = half @ half.mT  # of the numbers of U, those of u (U u)^T made symmetric
            self.unit = (half * self.unit[:, :, None]).sum(-1)
        centres = torch.linspace(0, 1, radial, dtype=graphs.dtype, device=graphs.device)
        near = torch.exp(-0.5 * ((self.senders.q[..., None] - centres) * radial).square())
        weighed = near * self.senders.weight[..., None]
        turned = (weighed[..., None] * self.unit[:, :, None]).flatten(2)
        # [n, radial, k] and [n, radial d, k], to be multiplied with what is sent.
        self.weights, self.directions = weighed.mT, turned.mT

    def sums(self, scalars: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Return the sums over senders of ``scalars [n, s]`` and ``vectors [n, d, a]``.

        Returns
        -------
        tuple of Tensor
            Scalars ``[n, b (s + a)]`` and vectors ``[n, d, b (a + s + a)]``, or tensors ``[n, m, b (a + s + 2
            a)]``.
        """
        d, a = vectors.shape[1:]
        sent = self.senders.send(torch.cat([scalars, vectors.flatten(1)], -1))
        s, u = sent.split([scalars.shape[1], d * a], dim=-1)
        along = (self.unit[..., None] * u.unflatten(-1, (d, a))).sum(2)
        inner = torch.cat([s, along], -1)
        of_scalars = self.weights @ inner
        of_vectors = (self.weights @ u).unflatten(-1, (d, a)).transpose(1, 2)
        outward = (self.directions @ inner).unflatten(1, (-1, d)).transpose(1, 2)
        kinds = [of_vectors, outward]
        if self.shear is not None:
            sheared = (self.shear @ u.unflatten(-1, (d, a))).flatten(2)
            kinds.append((self.weights @ sheared).unflatten(-1, (d, a)).transpose(1, 2))
        return of_scalars.flatten(1), torch.cat([kind.flatten(2) for kind in kinds], -1)


class _Convolution(nn.Module):
    """One layer; see the module for the formula.

    Shapes:
        - **h** ``[n, width]``, **vectors** ``[n, d, vectors]``, **condition** ``[g, width]``
        - **output** both, of the same shapes
    """

    def __init__(self, width: int, sent: int, vectors: int, radial: int, tensors: bool = False) -> None:
        super().__init__()
        self.sizes = (sent, vectors)
        self.norm_sent = Norm("layer", width, width)
        self.to_sent = Linear(width, sent + vectors)
        self.mix = nn.Linear(vectors, vectors, bias=False)
        self.to_scalars = Linear(radial * (sent + vectors), width, bias=False)
        received = radial * (sent + (3 if tensors else 2) * vectors)
        self.to_scale = zeroed(nn.Linear(width, received))
        self.to_vectors = nn.Linear(received, vectors, bias=False)
        self.norm_mlp = Norm("layer", width, width)
        self.mlp = perceptron(width + 2 * vectors, 2 * width, width + vectors)

    def forward(
        self, h: Tensor, vectors: Tensor, condition: Tensor, rows: Rows, geometry: _Geometry
    ) -> tuple[Tensor, Tensor]:
        scalars, gate = self.to_sent(self.norm_sent(h, condition, rows)).split(self.sizes, dim=-1)
        sent = self.mix(vectors) * (1 + gate)[:, None]
        of_scalars, of_vectors = geometry.sums(scalars, sent)
        scale = (1 + self.to_scale(condition)).index_select(0, rows.graph)
        received = self.to_vectors(of_vectors * scale[:, None])
        h = h + self.to_scalars(of_scalars)
        lengths = (received.square().sum(1) + _TINY).sqrt()
        inner = (received * vectors).sum(1)
        seen = torch.cat([self.norm_mlp(h, condition, rows), lengths, inner], -1)
        change, gate = self.mlp(seen).split([h.shape[1], self.sizes[1]], dim=-1)
        return h + change, vectors + (1 + gate)[:, None] * received


@register_module
class EquivariantFieldNet(nn.Module):
    """Equivariant convolutions on a graph that follows the noise; see the module for the formula.

    Permutation-equivariant, and equivariant under rotations, reflections and translations in any dimension.
    A graph's result does not depend on its batch. The cost is linear in the number of nodes.

    When to use: for vector fields (winds, currents, displacements) or fields of symmetric tensors (stresses,
    strains) without a preferred direction, above all of few samples. Features of a node other than its
    vector, such as whether it is known, are scalars.

    Shapes:
        - **graphs** positions ``[n, pos_dim]`` and features ``[n, features]``; of vector fields the first
          `pos_dim` are the vector, of tensor fields the first pos_dim (pos_dim + 1) / 2 the tensor
        - **log_snr** ``[g]``, **label** int64 ``[g]`` or None
        - **output** ``[n, out_dim]``: vectors, tensors, or scalars that do not turn

    Parameters
    ----------
    pos_dim
        Dimension d of space.
    features
        Number of features per node.
    out_dim
        Columns of the prediction; default those of a vector or tensor.
    width, layers
        Scalars of a node, and number of convolutions.
    vectors
        Vectors, or tensors, of a node.
    sent
        Scalars that a node sends.
    radial
        Gaussians of the distance.
    outputs
        "vector"; "tensor", symmetric and of rank two, in the numbers of `noisefold.geometry.symmetric_basis`;
        or "scalars" for features and predictions that do not turn.
    adaptive
        Schedule of range and resolution, from `noisefold.nn.adaptive`; default: 24 senders at every level.
    sphere
        Whether positions are unit vectors, and answers are tangent to the sphere. Then it is equivariant
        under rotations and reflections about the centre alone.
    classes
        Number of classes of graphs, 0 for none.

    Raises
    ------
    ValueError
        If `outputs` is unknown, features hold no vector, or `out_dim` is not that of one; if `sphere` is
        asked for in a space that is not of three dimensions, or for scalars.
    """

    def __init__(
        self,
        pos_dim: int = 2,
        features: int = 2,
        out_dim: int | None = None,
        width: int = 64,
        layers: int = 4,
        vectors: int = 8,
        sent: int = 16,
        radial: int = 6,
        outputs: str = "vector",
        adaptive: Adaptive = _FIXED,
        sphere: bool = False,
        classes: int = 0,
    ) -> None:
        super().__init__()
        if outputs not in _SHAPES:
            raise ValueError(f"outputs must be one of {', '.join(_SHAPES)}, got {outputs!r}.")
        turns, tensors = outputs != "scalars", outputs == "tensor"
        columns = pos_dim * (pos_dim + 1) // 2 if tensors else pos_dim
        if turns and (features < columns or out_dim not in (None, columns)):
            raise ValueError(
                f"features must be at least {columns} and out_dim equal to it, for a {outputs} in "
                f"{pos_dim}-D, got {features} and {out_dim}; "
                'use outputs="scalars" for values that do not turn.'
            )
        if sphere and (pos_dim != 3 or outputs != "vector"):
            raise ValueError(
                f"sphere=True is for vectors at unit vectors of pos_dim=3, got pos_dim={pos_dim}, "
                f"outputs={outputs!r}."
            )
        self.turns, self.tensors, self.sphere = turns, tensors, sphere
        self.adaptive, self.radial = adaptive, radial
        self.columns, self.vectors = columns, vectors
        self.condition = Condition(width, classes)
        scalars = features - columns + 1 if turns else features
        self.lift = perceptron(scalars + _RADII, width, width)
        self.start = nn.Linear(1 + (sphere or tensors), vectors, bias=False) if turns else None
        self.layers = nn.ModuleList(
            _Convolution(width, sent, vectors, radial, tensors) for _ in range(layers)
        )
        self.norm = Norm("layer", width, width)
        answers = vectors + 1 if turns else out_dim or pos_dim
        self.head = zeroed(nn.Linear(width, answers))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        """Return the prediction ``[n, out_dim]`` for noisy graphs at ``log_snr [g]``."""
        condition = self.condition(log_snr, label)
        reach, resolution = self.adaptive(signal_level(log_snr.double()), graphs.sizes)
        pooled = resolution < graphs.sizes
        # Where all are senders, a wider range has no more. Graphs of one range are computed together, so that
        # no node has room for more senders than it has; and graphs whose senders are pooled, apart.
        reach = torch.where(reach >= resolution, reach.max(), reach)
        kind = 2 * reach + pooled
        kinds = kind.unique().tolist()
        if len(kinds) == 1:
            return self._predict(graphs, condition, kinds[0] // 2, resolution if bool(pooled[0]) else None)
        parts, rows = [], []
        for value in kinds:
            here = kind == value
            some = here.nonzero()[:, 0]
            levels = (value // 2, resolution[some] if value % 2 else None)
            parts.append(self._predict(graphs[some], condition[some], *levels))
            rows.append(here[graphs.batch].nonzero()[:, 0])
        return torch.cat(parts).index_select(0, torch.cat(rows).argsort())

    def _predict(self, graphs: Graphs, condition: Tensor, reach: int, resolution: Tensor | None) -> Tensor:
        geometry = _Geometry(graphs, reach, resolution, self.radial, self.tensors)
        rows = Rows(graphs.batch, graphs.uniform)
        scalars, given = self._inputs(graphs)
        h = self.lift(torch.cat([scalars, basis(4 * geometry.senders.radius, _RADII)], -1))
        vectors = h.new_zeros(len(h), self.columns, self.vectors)
        if self.start is not None:
            vectors = vectors + self.start(given)
        for layer in self.layers:
            h, vectors = layer(h, vectors, condition, rows, geometry)
        answer: Tensor = self.head(self.norm(h, condition, rows))
        if not self.turns:
            return answer
        out = (torch.cat([vectors, given[..., :1]], -1) * answer[:, None]).sum(-1)
        if self.sphere:
            out = out - (out * graphs.pos).sum(-1, keepdim=True) * graphs.pos
        return out

    def _inputs(self, graphs: Graphs) -> tuple[Tensor, Tensor]:
        """Return scalars ``[n, s]`` and vectors ``[n, d, v]`` that nodes are given."""
        if graphs.x is None:
            return graphs.pos.new_zeros(graphs.num_nodes, 0), graphs.pos.new_zeros(graphs.num_nodes, 1, 0)
        if not self.turns:
            return graphs.x, graphs.pos[..., None]
        vector, rest = graphs.x.tensor_split([self.columns], dim=1)
        length = (vector.square().sum(1, keepdim=True) + _TINY).sqrt()
        given = [vector, graphs.pos] if self.sphere else [vector]
        if self.tensors:
            trace = symmetric_basis(graphs.dim, vector).diagonal(dim1=1, dim2=2).sum(1)
            given = [vector, trace.expand_as(vector)]  # the numbers of the unit matrix
        return torch.cat([rest, length], -1), torch.stack(given, -1)

    def extra_repr(self) -> str:
        """Columns in and out, and the schedule."""
        outputs = "tensor" if self.tensors else "vector" if self.turns else "scalars"
        sizes = in_out(self).split(" -> ")[0] + f" -> {self.columns}" if self.turns else in_out(self)
        return f"{sizes}, outputs={outputs}, {self.adaptive}"
