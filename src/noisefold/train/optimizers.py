r"""Optimisers: AdamW, and Muon for the weight matrices.

Muon replaces the averaged gradient G of a weight matrix by (nearly) its orthogonal polar factor,
:math:`G = U \Sigma V^T \mapsto U V^T`, so that directions with small singular values move as much as those
with large ones. Five steps of the quintic Newton-Schulz iteration

.. math:: X \leftarrow a X + (b A + c A^2) X, \qquad A = X X^T, \qquad X_0 = G / \|G\|_F

bring all singular values near 1. Times :math:`\sqrt{\max(m, n)}` the entries of an update have a root mean
square of about 1, as those of Adam have at first, so that both take one learning rate.

Source: Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks (2024),
https://kellerjordan.github.io/posts/muon/; Liu et al., Muon is Scalable for LLM Training (2025), section 2.2,
https://arxiv.org/abs/2502.16982.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

__all__ = ["OPTIMIZERS", "Muon", "hidden_matrices", "optimizer_of", "orthogonalized"]

OPTIMIZERS = ("adamw", "muon")
"""Names of the optimisers of a training."""

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_NARROWEST = 16
_BETAS, _EPS = (0.9, 0.999), 1e-8


def optimizer_of(net: nn.Module, name: str, lr: float, weight_decay: float) -> torch.optim.Optimizer:
    """Return the optimiser of a network's weights, one of `OPTIMIZERS`."""
    if name == "muon":
        return Muon(net, lr, weight_decay)
    return torch.optim.AdamW(net.parameters(), lr=lr, weight_decay=weight_decay)


def hidden_matrices(net: nn.Module) -> set[Tensor]:
    """Return the weights of the linear maps between hidden columns, at least 16 of them on either side."""
    linear = (module.weight for module in net.modules() if isinstance(module, nn.Linear))
    return {weight for weight in linear if min(weight.shape) >= _NARROWEST}


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return matrices ``[k, m, n]`` with all singular values moved near 1, between 0.6 and 1.3.

    PyTorch's own Muon does this one matrix at a time and in bfloat16, which few processors multiply fast.
    """
    a, b, c = _COEFFICIENTS
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for the hidden matrices of a network, AdamW for all other weights.

    Parameters
    ----------
    net
        Whose weights.
    lr
        Learning rate of both.
    weight_decay
        Decoupled from the gradient, of both.
    momentum
        Decay of the average of gradients.
    """

    def __init__(self, net: nn.Module, lr: float, weight_decay: float = 0.0, momentum: float = 0.95) -> None:
        matrices = hidden_matrices(net)
        groups = [
            {"params": [p for p in net.parameters() if (p in matrices) == muon], "muon": muon}
            for muon in (True, False)
        ]
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
        super().__init__([group for group in groups if group["params"]], defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            (self._muon if group["muon"] else self._adamw)(moved, group)
        return loss

    def _muon(self, weights: Iterable[Tensor], group: dict[str, Any]) -> None:
        by_shape: dict[torch.Size, list[Tensor]] = defaultdict(list)
        for p in weights:
            by_shape[p.shape].append(p)
        for shape, alike in by_shape.items():
            gradients = torch.stack([p.grad for p in alike if p.grad is not None])
            averages = torch.stack([self._average(p) for p in alike])
            averages.lerp_(gradients, 1 - group["momentum"])
            for p, average in zip(alike, averages, strict=True):
                self.state[p]["momentum"].copy_(average)
            updates = orthogonalized(gradients.lerp(averages, group["momentum"]))
            torch._foreach_mul_(alike, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(alike, list(updates), alpha=-group["lr"] * max(shape) ** 0.5)

    def _average(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(p)
        average: Tensor = state["momentum"]
        return average

    def _adamw(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        for p in weights:
            if not self.state[p]:
                zeros = {name: torch.zeros_like(p) for name in ("exp_avg", "exp_avg_sq")}
                self.state[p].update(zeros, step=torch.zeros((), dtype=torch.float32))
        states = [self.state[p] for p in weights]
        adamw(
            weights,
            [p.grad for p in weights if p.grad is not None],
            [s["exp_avg"] for s in states],
            [s["exp_avg_sq"] for s in states],
            [],
            [s["step"] for s in states],
            foreach=True,
            amsgrad=False,
            beta1=_BETAS[0],
            beta2=_BETAS[1],
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=_EPS,
            maximize=False,
        )
