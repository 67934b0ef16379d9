"""Distances between sets of images against closed forms, and the table of scores."""

from __future__ import annotations

import pytest
import torch

from noisefold import Graphs
from noisefold.eval import image_metrics as sets
from noisefold.eval import score_images
from noisefold.eval.image_features import RandomFeatures, digit_classifier
from noisefold.geometry.lattice import pixel_positions
from noisefold.studies.images.data import _bars


def _graphs(images, label=None):
    """Images ``[k, h, w]`` as graphs."""
    place = pixel_positions(*images.shape[1:3])
    return Graphs.dense(
        place.expand(len(images), -1, -1),
        images.reshape(len(images), len(place), -1),
        label,
        tuple("0123456789"),
    )


def _sets(*counts):
    out = []
    for seed, count in enumerate(counts):
        images, label = _bars(count, seed)
        out.append(_graphs(torch.from_numpy(images).float(), torch.from_numpy(label)))
    return out


def test_frechet_distance_of_known_gaussians():
    a = torch.randn(60, 3, generator=torch.Generator().manual_seed(0)).double()
    a = torch.cat([a, -a])  # of mean 0
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)).double())
    assert sets.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert sets.frechet_distance(a, a + 2.0) == pytest.approx(12.0)
    # Covariances that commute: |sqrt A - sqrt B|^2 over their eigenvalues.
    scale = torch.tensor([1.0, 2.0, 3.0]).double()
    values, vectors = torch.linalg.eigh(torch.cov(a.T))
    white = a @ vectors / values.sqrt()
    found = sets.frechet_distance(white @ turn.T, (white * scale) @ turn.T)
    assert found == pytest.approx(float((scale - 1).square().sum()))


def test_kernel_distance_is_unbiased_and_exact():
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(n, 2, generator=generator).double() for n in (5, 7))
    k = [(p @ q.T / 2 + 1) ** 3 for p, q in ((a, a), (a, b), (b, b))]
    own = [sum(float(m[i, j]) for i in range(len(m)) for j in range(len(m)) if i != j) for m in (k[0], k[2])]
    expected = own[0] / 20 + own[1] / 42 - 2 * float(k[1].sum()) / 35
    assert sets.kernel_distance(*k) == pytest.approx(expected)


def test_balls():
    a, b = torch.zeros(10, 1), torch.arange(10.0)[:, None]
    apart = a + 100
    found = sets.balls(*(torch.cdist(p, q) for p, q in ((apart, apart), (apart, b), (b, b))))
    assert set(found.values()) == {0.0}
    same = sets.balls(*(torch.cdist(b, b) for _ in range(3)))
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    collapsed = sets.balls(*(torch.cdist(p, q) for p, q in ((a, a), (a, b), (b, b))))
    assert collapsed["precision"] == 1
    assert collapsed["recall"] == 0.1  # all balls have radius 0 and hold the 0 alone


def test_table_ranks_what_is_known():
    test, train, more = _sets(200, 300, 80)
    scores = score_images({"fresh": more, "halves": more.replace(x=more.x / 2)}, test, train, resamples=10)
    assert scores.rows == ("fresh", "halves", "real", "train", "copies", "Gaussian", "blur", "noise")
    for worse in ("halves", "noise", "blur"):
        assert scores[worse, "FD"].value > 2 * scores["real", "FD"].value
    assert scores["fresh", "1-NNA"].value < 0.8 < scores["noise", "1-NNA"].value
    assert scores["train", "memorised"].value == 1
    assert scores["real", "memorised"].value < 0.1
    assert scores["copies", "recall"].value < scores["real", "recall"].value
    assert scores["fresh", "FD"].low < scores["fresh", "FD"].value < scores["fresh", "FD"].high


def test_same_seed_same_table_and_fewer_metrics():
    test, _, more = _sets(60, 1, 30)
    first, again = (score_images(more, test, metrics=("FD", "KD"), resamples=4).to_dict() for _ in range(2))
    assert first == again
    assert list(first["rows"]) == ["model", "real", "blur", "noise"]


def test_classifier_that_ships_knows_digits():
    net = digit_classifier()
    assert sum(p.numel() for p in net.parameters()) * 4 < 500_000
    assert net(torch.rand(2, 1, 20, 30)).shape == (2, 64)


def test_other_images_have_random_features():
    images = torch.rand(4, 3, 9, 5)
    features = RandomFeatures(3)(images)
    assert torch.equal(features, RandomFeatures(3)(images))
    assert features.shape == (4, 198)
    graphs = _graphs(torch.rand(60, 8, 8, 3) * 255)
    scores = score_images(graphs[:30], graphs, metrics=("FD",), resamples=2)
    assert RandomFeatures.name in scores.note


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"metrics": ("F",)}, "metrics"),
        ({"metrics": ()}, "metrics"),
        ({"metrics": ("memorised",)}, "metrics"),
        ({"generated": {"real": None}}, "generated"),
        ({"generated": "small"}, "generated"),
        ({"generated": "few"}, "score_images"),
        ({"generated": "nan"}, "generated"),
    ],
)
def test_misuse(change, name):
    test, more = _sets(60, 30)
    other = {
        "small": _graphs(torch.rand(30, 8, 8)),
        "few": more[:3],
        "nan": more.replace(x=more.x * torch.nan),
    }
    change = {k: other.get(v, v) if isinstance(v, str) else v for k, v in change.items()}
    with pytest.raises(ValueError, match=f"^{name} "):
        score_images(**{"generated": more, "test": test, **change})
