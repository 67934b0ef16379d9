"""Checks for networks, schedules, solvers and models of your own; the library's tests use them too.

Each raises an `AssertionError` that names the number measured and its bound.

>>> import noisefold as nf
>>> from noisefold.testing import assert_batch_independent, assert_permutation_equivariant, example_batch
>>> net = nf.nn.Latents(width=16, latents=4, rounds=1)
>>> for check in (assert_batch_independent, assert_permutation_equivariant):
...     check(net, *example_batch())
"""

from noisefold.testing.methods import assert_schedule, assert_solver_order
from noisefold.testing.models import assert_roundtrip, assert_seeds
from noisefold.testing.networks import (
    assert_batch_independent,
    assert_finite_gradients,
    assert_input_gradients,
    assert_permutation_equivariant,
    assert_rotation_equivariant,
    assert_rotation_invariant,
    example_batch,
    perturbed,
)

__all__ = [
    "assert_batch_independent",
    "assert_finite_gradients",
    "assert_input_gradients",
    "assert_permutation_equivariant",
    "assert_rotation_equivariant",
    "assert_rotation_invariant",
    "assert_roundtrip",
    "assert_schedule",
    "assert_seeds",
    "assert_solver_order",
    "example_batch",
    "perturbed",
]
