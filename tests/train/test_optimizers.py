import copy

import pytest
import torch
from torch import nn

from noisefold.train import Muon, Training
from noisefold.train.optimizers import hidden_matrices, optimizer_of, orthogonalized


def network() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Linear(3, 32), nn.GELU(), nn.Linear(32, 48), nn.GELU(), nn.Linear(48, 32), nn.Linear(32, 2)]
    return nn.Sequential(*layers)


def with_gradients(net: nn.Module, seed: int) -> None:
    x = torch.randn(20, 3, generator=torch.Generator().manual_seed(seed))
    net.zero_grad()
    net(x).square().mean().backward()


@pytest.mark.parametrize("shape", [(24, 24), (16, 40), (40, 16)])
def test_singular_vectors_stay_and_singular_values_come_near_one(shape: tuple[int, int]) -> None:
    matrices = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    found = u.mT @ orthogonalized(matrices) @ vt.mT
    values = found.diagonal(dim1=-2, dim2=-1)
    # The quintic maps singular values only: in exact arithmetic nothing is off the diagonal.
    assert (found - torch.diag_embed(values)).abs().max() < 1e-12
    assert values.min() > 0.6
    assert values.max() < 1.3


def test_muon_of_matrices_is_that_of_pytorch_up_to_its_bfloat16() -> None:
    net = network()
    twin = copy.deepcopy(net)
    ours = Muon(net, lr=1e-3, weight_decay=0.1)
    matrices = [twin.get_submodule(n).weight for n in ("2", "4")]
    theirs = torch.optim.Muon(matrices, lr=1e-3, weight_decay=0.1, momentum=0.95)
    with_gradients(net, 0)
    generator = torch.Generator().manual_seed(2)
    for _ in range(3):
        for mine, p in zip((net[2].weight, net[4].weight), matrices, strict=True):
            # Of full rank: bfloat16 loses small singular values, which the iteration blows up.
            mine.grad = torch.randn(p.shape, generator=generator)
            p.grad = mine.grad.clone()
        before = [p.detach().clone() for p in matrices]
        started = [net[i].weight.detach().clone() for i in (2, 4)]
        ours.step()
        theirs.step()
        for i, p, b, s in zip((2, 4), matrices, before, started, strict=True):
            scale = max(p.shape) ** 0.5 / max(1, p.shape[0] / p.shape[1]) ** 0.5
            move, reference = net[i].weight.detach() - s * (1 - 1e-4), p.detach() - b * (1 - 1e-4)
            assert torch.cosine_similarity(move.flatten(), reference.flatten(), dim=0) > 0.999
            assert move.norm() == pytest.approx(float(reference.norm() * scale), rel=0.02)


def test_other_weights_move_as_under_adamw() -> None:
    net = network()
    twin = copy.deepcopy(net)
    muon, adamw = Muon(net, lr=1e-3, weight_decay=0.1), optimizer_of(twin, "adamw", 1e-3, 0.1)
    with_gradients(net, 0)
    with_gradients(twin, 0)
    muon.step()
    adamw.step()
    matrices = hidden_matrices(net)
    assert {n for n, p in net.named_parameters() if p in matrices} == {"2.weight", "4.weight"}
    for (name, mine), theirs in zip(net.named_parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs) == (name not in ("2.weight", "4.weight"))


def test_unknown_optimizers_are_refused() -> None:
    with pytest.raises(ValueError, match="optimizer"):
        Training(optimizer="sgd")
