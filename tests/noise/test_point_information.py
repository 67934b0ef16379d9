"""The information on given points against determinants, simulated draws and the lemma's continuum."""

import math

import pytest
import torch

from noisefold.geometry.correlation import Exponential, Matern, Nested, SquaredExponential, Stationary
from noisefold.geometry.graphs import Graphs
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.gp_noise import GPNoise
from noisefold.noise.point_information import point_information, weighted_information
from noisefold.theory import GaussianProcess, mutual_information

SNR = torch.tensor([0.2, 1.0, 30.0], dtype=torch.float64)
CORRELATIONS = [SquaredExponential(0.4), Exponential(0.4), Nested(Matern(0.4), 0.6, 0.1)]


def cloud(n, d, seed=0):
    return torch.rand(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def members(pos, i, k):
    return (pos - pos[i]).norm(dim=1).argsort()[:k]


@pytest.mark.parametrize("noise", [None, Exponential(0.1), Matern(2.0)], ids=repr)
@pytest.mark.parametrize("correlation", CORRELATIONS, ids=repr)
def test_from_the_determinants_of_the_joint_law(correlation, noise):
    pos, counts = cloud(14, 2), torch.tensor([1, 2, 5, 14])
    found = point_information(correlation, pos, SNR, counts=counts, noise=noise)
    gap = (pos[:, None] - pos).norm(dim=2)
    full, own = correlation(gap), torch.eye(14, dtype=torch.float64) if noise is None else noise(gap)
    for i in range(14):
        for m, snr in enumerate(SNR.tolist()):
            for q, k in enumerate(counts.tolist()):
                row = torch.zeros(14, dtype=torch.float64)
                row[members(pos, i, k)] = 1
                clean = torch.zeros(14, dtype=torch.float64)
                clean[i] = 1
                noisy = full + own / snr
                joint = torch.stack(
                    [
                        torch.stack([clean @ full @ clean, clean @ full @ row]),
                        torch.stack([row @ full @ clean, row @ noisy @ row]),
                    ]
                )
                truth = 0.5 * math.log(joint[0, 0] * joint[1, 1] / torch.linalg.det(joint))
                assert float(found[i, m, q]) == pytest.approx(truth, rel=1e-10)


def test_simulated_features_tell_as_much():
    """Within 3 standard errors of the correlation of 20,000 draws."""
    correlation, pos, k = Matern(0.3), cloud(40, 3), 9
    root = torch.linalg.cholesky(correlation((pos[:, None] - pos).norm(dim=2)))
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(20_000, 40, generator=generator, dtype=torch.float64) @ root.T
    noisy = x + torch.randn(x.shape, generator=generator, dtype=torch.float64) / math.sqrt(0.7)
    found = point_information(correlation, pos, 0.7, counts=torch.tensor([k]))[:, 0, 0]
    for i in (0, 11, 39):
        c = torch.corrcoef(torch.stack([x[:, i], noisy[:, members(pos, i, k)].sum(1)]))[0, 1]
        assert float(found[i]) == pytest.approx(
            -0.5 * math.log(1 - c**2), abs=3 * float(c) / math.sqrt(20_000)
        )


def test_radii_are_the_counts_within_them():
    pos, radii = cloud(30, 2), torch.tensor([0.0, 0.2, 0.5, 3.0])
    by_radius = point_information(Matern(0.3), pos, SNR, radii=radii)
    for i in range(30):
        gap = (pos - pos[i]).norm(dim=1)
        counts = torch.tensor([int((gap <= r).sum()) for r in radii.double()])
        by_count = point_information(Matern(0.3), pos, SNR, counts=counts, nodes=torch.tensor([i]))
        assert torch.allclose(by_radius[i], by_count[0], rtol=1e-12)


def test_alone_a_node_knows_its_own_noisy_value():
    found = point_information(Exponential(0.2), cloud(5, 3), SNR, counts=torch.tensor([1]))
    assert torch.allclose(found, (0.5 * torch.log1p(SNR))[None, :, None].expand(5, 3, 1), rtol=1e-13)


def test_dense_points_tend_to_the_lemma():
    """A lattice of spacing .01: SNR of the lemma is 100 times that of a node; sums miss by their ends."""
    pos = torch.arange(-300, 301, dtype=torch.float64)[:, None] / 100
    centre = torch.tensor([300])
    radii = torch.tensor([0.305, 0.605, 1.205], dtype=torch.float64)
    for correlation in (SquaredExponential(0.5), Exponential(0.5)):
        found = point_information(correlation, pos, SNR / 100, radii=radii, nodes=centre)[0]
        for m, snr in enumerate(SNR.tolist()):
            truth = mutual_information(correlation, radii, snr)
            # Each node stands for the .01 about it, so that the sum is a midpoint rule: its error is of the
            # order of (.01 / .5)^2, and of .01 / .5 where a kink at distance 0 stands on a node.
            assert torch.allclose(found[m], truth, rtol=2e-2 if correlation == Exponential(0.5) else 2e-3)


@pytest.mark.parametrize("noise", [SquaredExponential(0.1), Exponential(2.0)], ids=repr)
def test_dense_points_under_correlated_noise_tend_to_the_lemma(noise):
    """The SNR is that of a node, and the errors are those of the midpoint rule."""
    pos = torch.arange(-300, 301, dtype=torch.float64)[:, None] / 100
    radii = torch.tensor([0.305, 0.605, 1.205], dtype=torch.float64)
    centre = torch.tensor([300])
    found = point_information(SquaredExponential(0.5), pos, SNR, radii=radii, nodes=centre, noise=noise)[0]
    for m, snr in enumerate(SNR.tolist()):
        truth = mutual_information(SquaredExponential(0.5), radii, snr, noise=noise)
        assert torch.allclose(found[m], truth, rtol=2e-3)


# -- the best weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("noise", [None, Exponential(0.1), Matern(2.0)], ids=repr)
@pytest.mark.parametrize("correlation", CORRELATIONS, ids=repr)
def test_weighted_from_the_determinants_of_the_joint_law(correlation, noise):
    pos, counts, nodes = cloud(14, 2), torch.tensor([1, 2, 5, 14]), torch.tensor([0, 7, 13])
    found = weighted_information(correlation, pos, SNR, counts=counts, nodes=nodes, noise=noise)
    gap = (pos[:, None] - pos).norm(dim=2)
    full, own = correlation(gap), torch.eye(14, dtype=torch.float64) if noise is None else noise(gap)
    for i, node in enumerate(nodes.tolist()):
        for m, snr in enumerate(SNR.tolist()):
            for q, k in enumerate(counts.tolist()):
                near = members(pos, node, k)
                noisy = (full + own / snr)[near][:, near]
                cross = full[node, near][:, None]
                joint = torch.cat(
                    [torch.cat([full[node, node].view(1, 1), cross.T], 1), torch.cat([cross, noisy], 1)]
                )
                truth = 0.5 * float(torch.logdet(noisy) - torch.logdet(joint))
                assert float(found[i, m, q]) == pytest.approx(truth, rel=1e-9)


def test_all_nodes_with_the_best_weights_leave_the_oracle_s_posterior_variance():
    pos, noise = cloud(12, 2), Matern(0.5)
    path = Gaussian(source=GPNoise(Stationary(noise), jitter=1e-13))
    law = GaussianProcess(Stationary(Exponential(0.4)), jitter=1e-13).on(Graphs(pos), path)
    t = torch.tensor(0.3, dtype=torch.float64)
    snr = path.log_snr(t).exp()
    found = weighted_information(Exponential(0.4), pos, snr, counts=torch.tensor([12]), noise=noise)
    variance = law.posterior_covariance(t).diagonal()
    # The oracle's jitter moves the covariances by 1e-13, and the variances by some hundred times that.
    assert torch.allclose(torch.exp(-2 * found[:, 0, 0]), variance, rtol=1e-9)


def test_weights_never_tell_less_than_a_sum_and_never_less_with_more_nodes():
    pos, counts = cloud(40, 2), torch.tensor([1, 2, 4, 8, 16, 40])
    for noise in (None, Matern(1.0)):
        best = weighted_information(Matern(0.3), pos, SNR, counts=counts, noise=noise)
        plain = point_information(Matern(0.3), pos, SNR, counts=counts, noise=noise)
        assert (best >= plain - 1e-12).all()
        assert torch.allclose(best[..., 0], plain[..., 0], rtol=1e-12)
        assert (best.diff(dim=2) >= 0).all()


def test_where_noise_is_correlated_as_the_data_neighbours_tell_nothing():
    """Of neither sums, which tell less, nor the best weights, which are those of the node alone."""
    pos, counts, correlation = cloud(30, 2), torch.tensor([1, 2, 7, 30]), Matern(0.4)
    alone = 0.5 * torch.log1p(SNR)[None, :, None]
    best = weighted_information(correlation, pos, SNR, counts=counts, noise=correlation)
    assert torch.allclose(best, alone.expand_as(best), rtol=1e-10)
    plain = point_information(correlation, pos, SNR, counts=counts, noise=correlation)
    assert (plain[..., 1:] < alone).all()


def test_singular_covariances_are_refused():
    with pytest.raises(ValueError, match="noisy values"):
        weighted_information(
            SquaredExponential(50.0),
            cloud(40, 1),
            SNR,
            counts=torch.tensor([4]),
            noise=SquaredExponential(50.0),
        )


def test_estimated_sums_are_close_and_exact_where_all_are_counted():
    pos, counts = cloud(600, 2), torch.tensor([1, 50, 128, 300, 600])
    nodes = torch.arange(0, 600, 30)
    exact = point_information(Matern(0.2), pos, SNR, counts=counts, nodes=nodes)
    near = point_information(Matern(0.2), pos, SNR, counts=counts, nodes=nodes, most=128)
    assert torch.equal(near[..., :3], exact[..., :3])
    assert torch.allclose(near.mean(0), exact.mean(0), rtol=0.05)


def test_nodes_at_one_place_come_after_the_node_itself():
    pos = torch.zeros(3, 2)
    found = point_information(Nested(Exponential(1.0), 0.5), pos, SNR, counts=torch.tensor([1, 3]))
    assert torch.allclose(found[:, :, 0], (0.5 * torch.log1p(SNR)).expand(3, 3))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({}, "exactly one"),
        ({"counts": torch.tensor([1]), "radii": torch.tensor([1.0])}, "exactly one"),
        ({"counts": torch.tensor([0])}, "counts"),
        ({"counts": torch.tensor([6])}, "counts"),
        ({"radii": torch.tensor([-1.0])}, "radii"),
        ({"counts": torch.tensor([1]), "most": 1}, "most"),
        ({"counts": torch.tensor([1]), "snr": torch.tensor([0.0])}, "snr"),
    ],
)
def test_bad_arguments_are_refused(options, word):
    options = {"snr": SNR, **options}
    with pytest.raises(ValueError, match=word):
        point_information(Exponential(), cloud(5, 2), **options)


def test_bad_arguments_of_weights_are_refused():
    with pytest.raises(ValueError, match="counts"):
        weighted_information(Exponential(), cloud(5, 2), SNR, counts=torch.tensor([6]))
    with pytest.raises(ValueError, match="snr"):
        weighted_information(Exponential(), cloud(5, 2), -SNR, counts=torch.tensor([1]))
