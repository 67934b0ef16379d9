"""Networks whose weights are constants for a while, so that derivatives by the inputs alone are computed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn

__all__ = ["frozen"]


@contextmanager
def frozen(module: object) -> Iterator[None]:
    """Take the weights of a module as constants within this context; what is no module has none."""
    weights = module.parameters() if isinstance(module, nn.Module) else ()
    free = [weight for weight in weights if weight.requires_grad]
    for weight in free:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in free:
            weight.requires_grad_(True)
