"""Procedural shapes: functions of (seed, i), normalised, of every family, and told apart by their form."""

import numpy as np
import pytest
import torch

from noisefold.data import FAMILIES, shapes


def test_every_family_in_turn():
    data = shapes(25, points=64)
    assert data.classes == FAMILIES
    assert len(FAMILIES) == 10
    assert data.label.tolist() == [i % 10 for i in range(25)]
    assert (data.uniform, data.dim, data.dtype, data.x) == (64, 3, torch.float32, None)
    assert torch.isfinite(data.pos).all()


def test_centred_in_the_unit_sphere():
    pos = shapes(40, points=200).pos.reshape(40, 200, 3).double()
    # float32 storage: one part in 10^7 for each coordinate.
    assert pos.mean(dim=1).abs().max() < 1e-7
    assert (pos.norm(dim=2).amax(dim=1) - 1).abs().max() < 1e-6


def test_shape_depends_on_seed_and_index_alone():
    few, many = shapes(7, points=32, seed=5), shapes(23, points=32, seed=5)
    assert torch.equal(few.pos, many[:7].pos)
    assert not torch.equal(few.pos, shapes(7, points=32, seed=6).pos)
    pos = many.pos.reshape(23, -1)
    assert torch.unique(pos, dim=0).shape[0] == 23


def test_families_can_be_chosen():
    data = shapes(5, points=16, families=["vase", "chair"])
    assert data.classes == ("vase", "chair")
    assert data.label.tolist() == [0, 1, 0, 1, 0]


def test_vase_is_a_surface_of_revolution():
    pos = shapes(4, points=4000, families=["vase"]).pos.reshape(4, 4000, 3).double().numpy()
    for cloud in pos:
        # Mass balances about the axis: the mean resultant of uniform angles is below 5 / sqrt(2 n) a side,
        # and the axis itself is off the sample's mean by as much, hence the doubled bound.
        angle = np.arctan2(cloud[:, 1], cloud[:, 0])
        for k in (1, 2, 3):
            assert abs(np.exp(1j * k * angle).mean()) < 10 / np.sqrt(2 * 4000)


def test_rotation_turns_about_the_up_axis_alone():
    still, turned = shapes(20, points=50, rotate=0), shapes(20, points=50, rotate=180)
    # Turning about z keeps heights, distances from the axis through the mean, and so the scale.
    torch.testing.assert_close(still.pos[:, 2], turned.pos[:, 2], atol=2e-6, rtol=0)
    torch.testing.assert_close(still.pos[:, :2].norm(dim=1), turned.pos[:, :2].norm(dim=1), atol=2e-6, rtol=0)
    a, b = (torch.view_as_complex(p.pos[:, :2].reshape(20, 50, 2).contiguous()) for p in (still, turned))
    angle = (b * a.conj()).sum(dim=1).angle().rad2deg()
    assert angle.abs().max() > 90
    modest = torch.view_as_complex(shapes(20, points=50).pos[:, :2].reshape(20, 50, 2).contiguous())
    small = (modest * a.conj()).sum(dim=1).angle().rad2deg()
    torch.testing.assert_close(small, angle / 12, atol=1e-3, rtol=0)


def test_families_differ_in_form():
    """Leave-one-out nearest neighbours on histograms of height and of distance from the axis.

    Ten families at random would give 10 %; measured 95 %.
    """
    data = shapes(300, points=400, seed=1)
    pos = data.pos.reshape(300, 400, 3)
    height = torch.stack([p.histc(16, -1, 1) for p in pos[..., 2]])
    radius = torch.stack([p.histc(16, 0, 1) for p in pos[..., :2].norm(dim=-1)])
    form = torch.cat([height, radius], dim=1)
    distance = torch.cdist(form, form, p=1).fill_diagonal_(torch.inf)
    right = data.label[distance.argmin(dim=1)] == data.label
    assert right.float().mean() > 0.9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"points": 1}, "points must be at least 2, got 1"),
        ({"seed": -1}, r"seed must lie in \[0, 2\*\*63\), got -1"),
        ({"rotate": 270}, "rotate must lie in .*, got 270"),
        ({"families": ["chair", "sofa"]}, "families .*sofa.*airplane"),
        ({"families": []}, "families must be"),
        ({"families": ["chair", "chair"]}, "families must be different"),
    ],
)
def test_arguments_out_of_range(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        shapes(**arguments)
