"""Distributions to learn: what they are, and how a file of points becomes one."""

import pytest
import torch

from noisefold.noise import Gaussian
from noisefold.studies.diffusion.distributions import GRAPHS, MIXTURE, NAMED, Empirical, named
from noisefold.theory import GaussianMixture


@pytest.mark.parametrize("name", NAMED)
def test_named_distributions_draw_the_same_points_again(name):
    data = named(name)
    one, two = (data.draw(300, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.shape == (300, data.dim)
    assert one.dtype == torch.float64
    assert bool(torch.isfinite(one).all())
    assert data.mixture is not None or 0.5 < float(one.var(0).mean()) < 3  # at the scale of the noise


def test_the_mixture_is_the_papers():
    assert MIXTURE.mixture.means == ((-4.0, -4.0), (4.0, 4.0))
    assert [[c[i][i] for i in (0, 1)] for c in MIXTURE.mixture.covariances] == [[0.3, 0.1], [0.2, 0.2]]
    assert GRAPHS.dim == 3


def test_checkerboard_fills_dark_fields_alone():
    x = NAMED["checkerboard"].draw(2000, torch.Generator().manual_seed(0))
    place = (x + 2).floor().long()
    assert bool(((place >= 0) & (place < 4)).all())
    assert set((place.sum(1) % 2).tolist()) == {0}


def test_the_oracle_of_a_sample_is_that_of_a_mixture_of_points():
    """A mixture of Gaussians without spread is the same distribution; float64, so 1e-10 for 40 points."""
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(40, 2, generator=generator, dtype=torch.float64)
    law = GaussianMixture([1 / 40] * 40, points, torch.zeros(40, 2, 2, dtype=torch.float64))
    x, path = torch.randn(30, 2, generator=generator, dtype=torch.float64), Gaussian()
    for t in torch.tensor([0.1, 0.5, 0.95], dtype=torch.float64):
        cloud = Empirical(points)
        torch.testing.assert_close(cloud.denoise(x, t, path), law.denoise(x, t, path), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(
            cloud.posterior_covariance(x, t, path),
            law.posterior_covariance(x, t, path),
            rtol=1e-9,
            atol=1e-9,
        )


@pytest.mark.parametrize("head", ["", "x,y\n"])
def test_a_csv_is_standardised_and_halved(tmp_path, head):
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(200, 2, generator=generator, dtype=torch.float64) * 5 + 100
    file = tmp_path / "mine.csv"
    file.write_text(head + "\n".join(f"{a!r},{b!r}" for a, b in points.tolist()) + "\n")
    data = named(str(file))
    assert data.name == "mine"
    held = data.reference()
    drawn = data.draw(4000, generator).unique(dim=0)
    assert len(held) == len(drawn) == 100  # 4000 draws miss one of 100 points once in 10^15
    assert not set(map(tuple, held.tolist())) & set(map(tuple, drawn.tolist()))
    both = torch.cat([held, drawn])
    torch.testing.assert_close(both.mean(0), torch.zeros(2).double(), atol=1e-12, rtol=0)
    assert float(both.var(0).mean()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1,2\n" * 50, "holds 50 points"),
        ("1,2\n" * 150, "one point 150 times"),
        ("1,2\n" * 120 + "3\n", "point 121: expected two numbers"),
        ("1,2\n" * 120 + "3,nan\n", "point 121: expected two numbers"),
        ("", "holds 0 points"),
    ],
)
def test_a_bad_file_is_refused(tmp_path, text, told):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ValueError, match=told):
        named(str(file))


def test_what_is_no_text_or_no_file_is_refused(tmp_path):
    file = tmp_path / "bad.csv"
    file.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(ValueError, match="not text"):
        named(str(file))
    with pytest.raises(ValueError, match="neither a file nor one of mixture"):
        named("nothing")
