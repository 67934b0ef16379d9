"""Every source of noise trains a model, samples from it, and is saved with it."""

import pytest
import torch

from crossed import crossed
from noisefold.geometry import Graphs
from noisefold.geometry.correlation import SquaredExponential
from noisefold.model import Model
from noisefold.nn import Latents
from noisefold.noise import Digits, Gaussian, GPNoise, Linear, Nugget, QuasiRandom, Stationary, White
from noisefold.sample import Ancestral, Heun
from noisefold.train import Training

TINY = {"width": 16, "latents": 4, "latent_width": 16, "rounds": 1, "blocks": 1, "heads": 2}
FEW = Training(steps=4, batch=4, warmup=1, log_every=1, validate_every=4, checkpoint_every=4)
KINDS = [White(), Digits(), QuasiRandom(), GPNoise(Stationary(SquaredExponential(0.5), 0.9) + Nugget(0.1))]
SOURCES = pytest.mark.parametrize("source", KINDS, ids=lambda source: type(source).__name__)


def fields(count: int = 8, nodes: int = 10) -> Graphs:
    generator = torch.Generator().manual_seed(0)
    pos = torch.rand(count, nodes, 2, generator=generator)
    x = torch.stack([pos[..., 0].sin(), pos.sum(-1)], -1)
    return Graphs.dense(pos, x + 0.1 * torch.randn(x.shape, generator=generator))


def trained(source) -> Model:
    torch.manual_seed(0)
    net = Latents(pos_dim=2, features=2, out_dim=2, **TINY)
    torch.nn.init.normal_(net.head.weight, std=0.2)
    return Model(net, Gaussian(Linear(), source), variable="x").fit(fields(), val=fields(4), settings=FEW)


@pytest.mark.parametrize(("source", "solver"), crossed(KINDS, [Heun(), Ancestral()]), ids=repr)
def test_trains_and_samples_whatever_the_batch(source, solver):
    model = trained(source)
    options = {"like": fields(), "steps": 3, "solver": solver, "seed": 4}
    whole = model.sample(5, **options)
    ones = model.sample(5, batch=1, **options)
    assert bool(whole.x.isfinite().all())
    # Rounding differs with the shape of matrix products, no more.
    torch.testing.assert_close(whole.x, ones.x, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(whole[0].x, whole[1].x)


@SOURCES
def test_training_repeats_and_the_source_is_saved(source, tmp_path):
    one, two = trained(source), trained(source)
    for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True):
        assert torch.equal(a, b)
    one.save_pretrained(tmp_path)
    assert Model.from_pretrained(tmp_path).path.source == source


def test_what_the_data_have_does_not_reach_the_samples():
    """Sampling on frames with features: decimals of those would tell the network what to make."""
    model, frames = trained(Digits()), fields()
    other = frames.replace(x=frames.x + 0.123)
    made = [model.sample(3, like=like, steps=2, seed=1).x for like in (frames, other)]
    assert torch.equal(*made)
