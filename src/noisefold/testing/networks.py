"""Checks of networks: ``net(graphs, log_snr [g], label [g] or None) -> [n, d]``, in the mode they are in."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from noisefold.geometry.graphs import Graphs
from noisefold.testing.require import close, require

__all__ = [
    "assert_batch_independent",
    "assert_finite_gradients",
    "assert_input_gradients",
    "assert_permutation_equivariant",
    "assert_rotation_equivariant",
    "assert_rotation_invariant",
    "example_batch",
    "perturbed",
]

Net = Callable[[Graphs, Tensor, Tensor | None], Tensor]
_Module = TypeVar("_Module", bound=nn.Module)
GROUPS = ("rotations", "reflections", "translations")


def example_batch(
    sizes: Sequence[int] = (1, 2, 3, 30, 64, 100),
    dim: int = 3,
    features: int = 0,
    classes: int = 0,
    seed: int = 0,
) -> tuple[Graphs, Tensor, Tensor | None]:
    """Return random graphs, log-SNRs ``[g]`` from pure noise to clean, and labels ``[g]`` or None.

    Parameters
    ----------
    sizes
        Nodes of each graph.
    dim, features, classes
        Dimension of space, features of a node, and number of classes; a label of -1 is "unconditional".
    seed
        Of everything random.
    """
    generator = torch.Generator().manual_seed(seed)
    pos = [torch.randn(n, dim, generator=generator) for n in sizes]
    x = [torch.randn(n, features, generator=generator) for n in sizes] if features else None
    label = torch.randint(-1, classes, (len(sizes),), generator=generator) if classes else None
    order = torch.randperm(len(sizes), generator=generator)
    return Graphs.ragged(pos, x), torch.linspace(-12, 12, len(sizes))[order], label


def perturbed(net: _Module, size: float = 0.1, seed: int = 1) -> _Module:
    """Move every parameter of a network off its start, so that no zero can hide a mistake; in place."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator).to(p) * size)
    return net


@torch.no_grad()
def assert_batch_independent(
    net: Net, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None, *, tolerance: float = 3e-5
) -> None:
    """A graph gets in a batch what it gets alone, and in any other batch.

    Parameters
    ----------
    net, graphs, log_snr, label
        The network and a batch for it.
    tolerance
        Greatest error, relative to 1 + the size of a number. float32 keeps 1e-7, and a few dozen layers of
        sums of it stay within 3e-5.
    """
    together = graphs.unpack(net(graphs, log_snr, label))
    parts = [[i] for i in range(len(graphs))]
    for chosen in [*parts, list(range(len(graphs) - 1, -1, -2))]:
        some = torch.tensor(chosen, device=graphs.device)
        part = graphs[some]
        out = part.unpack(net(part, log_snr[some], None if label is None else label[some]))
        for i, values in zip(chosen, out, strict=True):
            close(f"graph {i} in a batch of {len(chosen)}", values, together[i], tolerance)


@torch.no_grad()
def assert_permutation_equivariant(
    net: Net,
    graphs: Graphs,
    log_snr: Tensor,
    label: Tensor | None = None,
    *,
    seed: int = 2,
    tolerance: float = 3e-5,
) -> None:
    """Renumbered nodes get the same answers, renumbered; parameters as of `assert_batch_independent`."""
    keys = torch.rand(graphs.num_nodes, generator=torch.Generator().manual_seed(seed))
    order = (keys.to(graphs.device) + graphs.batch).argsort()
    x = None if graphs.x is None else graphs.x[order]
    out = net(graphs, log_snr, label)
    moved = net(graphs.replace(pos=graphs.pos[order], x=x), log_snr, label)
    close("renumbered nodes", moved, out[order], tolerance)


def assert_rotation_equivariant(
    net: Net,
    graphs: Graphs,
    log_snr: Tensor,
    label: Tensor | None = None,
    *,
    groups: Sequence[str] = GROUPS[:2],
    count: int = 4,
    vector_features: int = 0,
    seed: int = 3,
    tolerance: float = 1e-4,
) -> None:
    """Moved positions get moved answers, vectors ``[n, d]`` that rotate and reflect with space.

    Parameters
    ----------
    net, graphs, log_snr, label
        The network and a batch for it. Features stay as they are, but for
    vector_features
        vectors of d columns each, the first of the features, that rotate and reflect with space, too.
    groups
        Which motions: "rotations", "reflections", "translations" (which leave vectors as they are).
    count
        Random motions.
    seed
        Of the motions.
    tolerance
        As of `assert_batch_independent`.
    """
    _symmetry(net, graphs, log_snr, label, True, groups, count, vector_features, seed, tolerance)


def assert_rotation_invariant(
    net: Net,
    graphs: Graphs,
    log_snr: Tensor,
    label: Tensor | None = None,
    *,
    groups: Sequence[str] = GROUPS[:2],
    count: int = 4,
    seed: int = 3,
    tolerance: float = 1e-4,
) -> None:
    """Moved positions get the same answers; parameters as of `assert_rotation_equivariant`."""
    _symmetry(net, graphs, log_snr, label, False, groups, count, 0, seed, tolerance)


@torch.no_grad()
def _symmetry(
    net: Net,
    graphs: Graphs,
    log_snr: Tensor,
    label: Tensor | None,
    vectors: bool,
    groups: Sequence[str],
    count: int,
    vector_features: int,
    seed: int,
    tolerance: float,
) -> None:
    unknown = set(groups) - set(GROUPS)
    if unknown:
        raise ValueError(f"groups must be some of {', '.join(GROUPS)}, got {sorted(unknown)[0]!r}.")
    generator, d = torch.Generator().manual_seed(seed), graphs.dim
    out = net(graphs, log_snr, label)
    for number in range(count):
        turn = torch.eye(d, dtype=torch.float64)
        if "rotations" in groups:
            turn, triangle = torch.linalg.qr(torch.randn(d, d, generator=generator, dtype=torch.float64))
            turn = turn * triangle.diagonal().sign()
            turn[:, 0] *= torch.linalg.det(turn).sign()
        if "reflections" in groups and number % 2:
            turn[:, 0] *= -1
        shift = torch.randn(d, generator=generator, dtype=torch.float64) * ("translations" in groups)
        turn, shift = turn.to(graphs.pos), shift.to(graphs.pos)
        x = graphs.x
        if x is not None and vector_features:
            turning, rest = x.tensor_split([vector_features * d], dim=1)
            x = torch.cat([(turning.unflatten(1, (-1, d)) @ turn).flatten(1), rest], dim=1)
        moved = net(graphs.replace(pos=graphs.pos @ turn + shift, x=x), log_snr, label)
        close(f"motion {number} of space", moved, out @ turn if vectors else out, tolerance)


def assert_finite_gradients(
    net: nn.Module, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None, *, idle: Sequence[str] = ()
) -> None:
    """Every parameter has a finite gradient, and one that is not zero.

    Parameters
    ----------
    net, graphs, log_snr, label
        The network and a batch for it.
    idle
        Ends of the names of parameters whose gradient is zero on this batch, all of which must be.
    """
    out = net(graphs, log_snr, label)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out)
    names, parameters = zip(*net.named_parameters(), strict=True)
    gradients = torch.autograd.grad((out * weight).sum(), parameters, allow_unused=True)
    for name, gradient in zip(names, gradients, strict=True):
        require(gradient is not None, f"parameter {name} is not used.")
        wrong = int((~torch.isfinite(gradient)).sum())
        require(wrong == 0, f"parameter {name}: {wrong} gradients are not finite, must be 0.")
        largest, silent = float(gradient.abs().max()), name.endswith(tuple(idle))
        require((largest == 0) == silent, f"parameter {name}: largest gradient {largest:.3g}, idle={silent}.")


def assert_input_gradients(
    net: nn.Module,
    graphs: Graphs,
    log_snr: Tensor,
    label: Tensor | None = None,
    *,
    variable: str = "pos",
    step: float = 1e-6,
    tolerance: float = 1e-5,
) -> None:
    """The derivative by the inputs is that of differences: what likelihoods and reconstruction take.

    A copy of the network is tested in float64. What is piecewise constant (neighbours, cells) has no
    derivative and is taken to stay the same within a step.

    Parameters
    ----------
    net, graphs, log_snr, label
        The network and a batch for it.
    variable
        "pos" or "x".
    step
        Of the differences.
    tolerance
        Greatest error, relative to 1 + the size of the derivative.
    """
    wide, exact = copy.deepcopy(net).double(), graphs.to(dtype=torch.float64)
    generator = torch.Generator().manual_seed(4)
    value = exact.pos if variable == "pos" else exact.x
    if value is None:
        raise ValueError('variable="x" needs graphs with features, and these have none.')

    def answer(changed: Tensor) -> Tensor:
        out: Tensor = wide(exact.replace(**{variable: changed}), log_snr.double(), label)
        return out

    along = torch.randn(value.shape, generator=generator, dtype=torch.float64).to(value)
    at = value.clone().requires_grad_()
    out = answer(at)
    weight = torch.randn(out.shape, generator=generator, dtype=torch.float64).to(out)
    (gradient,) = torch.autograd.grad((out * weight).sum(), at)
    with torch.no_grad():
        moved = (answer(value + step * along) - answer(value - step * along)) / (2 * step)
    close("derivative by the inputs", (gradient * along).sum(), (moved * weight).sum(), tolerance)
