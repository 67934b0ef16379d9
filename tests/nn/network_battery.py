"""What every network must hold: the public checks, and what the library's own hold besides."""

import torch

from noisefold.testing import (
    assert_batch_independent,
    assert_finite_gradients,
    assert_input_gradients,
    assert_permutation_equivariant,
)

# float32 keeps 1e-7 of a number; a few dozen layers of sums of it stay well within this.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def check_depends(net, graphs, log_snr, label=None):
    """The answer follows the noise level, the label if there are any, and every column of the inputs."""
    out = net(graphs, log_snr, label)
    assert not torch.allclose(out, net(graphs, log_snr - 1, label))
    if label is not None:
        assert not torch.allclose(out, net(graphs, log_snr, torch.where(label == 0, 1, 0)))
        torch.testing.assert_close(
            net(graphs, log_snr, None), net(graphs, log_snr, torch.full_like(label, -1)), **CLOSE
        )
    for name in ("pos", "x"):
        value = getattr(graphs, name)
        for column in range(0 if value is None else value.shape[1]):
            changed = value.clone()
            changed[:, column] *= 1.1
            assert not torch.allclose(out, net(graphs.replace(**{name: changed}), log_snr, label))


ALL = [
    assert_batch_independent,
    assert_permutation_equivariant,
    assert_finite_gradients,
    assert_input_gradients,
    check_depends,
]
