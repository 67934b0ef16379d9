"""What every network must hold, as functions of the network and a batch."""

import torch

from noisefold.geometry.graphs import Graphs

# float32 keeps 1e-7 of a number; a few dozen layers of sums of it stay well within this.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def batch(sizes=(1, 2, 3, 30, 64, 100), dim=3, features=0, classes=0, seed=0):
    """Random graphs, log-SNRs from pure noise to clean, and labels."""
    generator = torch.Generator().manual_seed(seed)
    pos = [torch.randn(n, dim, generator=generator) for n in sizes]
    x = [torch.randn(n, features, generator=generator) for n in sizes] if features else None
    label = torch.randint(-1, classes, (len(sizes),), generator=generator) if classes else None
    order = torch.randperm(len(sizes), generator=generator)
    log_snr = torch.linspace(-12, 12, len(sizes))[order]
    return Graphs.ragged(pos, x), log_snr, label


def awake(net, seed=1):
    """The network with every parameter moved off its start, so that no zero can hide a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn(p.shape, generator=generator) * 0.1)
    return net


def at(label, index):
    """Labels of some graphs."""
    return None if label is None else label[index]


def check_looped(net, graphs, log_snr, label=None):
    """A batch gives each graph what it gets alone, and in any other batch."""
    together = graphs.unpack(net(graphs, log_snr, label))
    for i, out in enumerate(together):
        alone = net(graphs[i], log_snr[i : i + 1], at(label, slice(i, i + 1)))
        torch.testing.assert_close(out, alone, **CLOSE)
    some = torch.arange(len(graphs) - 1, -1, -2)
    part = graphs[some]
    for i, out in zip(some.tolist(), part.unpack(net(part, log_snr[some], at(label, some))), strict=True):
        torch.testing.assert_close(out, together[i], **CLOSE)


def check_permutation(net, graphs, log_snr, label=None):
    """Renumbered nodes get the same answers, renumbered."""
    generator = torch.Generator().manual_seed(2)
    keys = torch.rand(graphs.num_nodes, generator=generator) + graphs.batch
    order = keys.argsort()
    assert graphs.num_nodes < 5 or not torch.equal(order, torch.arange(graphs.num_nodes))
    x = None if graphs.x is None else graphs.x[order]
    out = net(graphs, log_snr, label)
    moved = net(graphs.replace(pos=graphs.pos[order], x=x), log_snr, label)
    torch.testing.assert_close(moved, out[order], **CLOSE)


def check_gradients(net, graphs, log_snr, label=None, idle=()):
    """Every parameter has a finite gradient, and not zero but where its name ends in one of `idle`."""
    out = net(graphs, log_snr, label)
    weight = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    (out * weight).sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None, name
        assert torch.isfinite(p.grad).all(), name
        assert bool(p.grad.any()) != name.endswith(tuple(idle)), name


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


ALL = [check_looped, check_permutation, check_gradients, check_depends]
