import math

import pytest
import torch

from noisefold.nn.blocks import Condition, Fourier, Modulation, perceptron


def test_perceptron_is_linear_maps_with_activations_between():
    torch.manual_seed(0)
    net = perceptron(3, 5, 4, 2)
    h = torch.randn(7, 3)
    a = torch.nn.functional.gelu(net[0](h))
    b = torch.nn.functional.gelu(net[2](a))
    torch.testing.assert_close(net(h), net[4](b))
    assert [m.out_features for m in net if isinstance(m, torch.nn.Linear)] == [5, 4, 2]


class TestFourier:
    def test_by_its_formula(self):
        fourier = Fourier(2, 3, 1.0, 4.0).double()
        v = torch.randn(5, 2, dtype=torch.float64)
        out = fourier(v)
        assert out.shape == (5, fourier.width)
        omega = (1.0, 2.0, 4.0)
        for i in range(5):
            wave = [f(w * float(c)) for f in (math.sin, math.cos) for c in v[i] for w in omega]
            expected = torch.tensor([*v[i].tolist(), *wave], dtype=torch.float64)
            # The frequencies are stored in float32, 6e-8 from the formula's.
            torch.testing.assert_close(out[i], expected, rtol=0, atol=1e-6)

    def test_a_single_frequency_is_the_lowest(self):
        assert Fourier(1, 1, 3.0, 9.0).omega.tolist() == [3.0]

    def test_frequencies_are_no_part_of_the_state(self):
        assert not Fourier(1, 4, 1.0, 2.0).state_dict()


class TestCondition:
    def test_saturates_and_stays_finite_at_infinite_ratios(self):
        torch.manual_seed(0)
        condition = Condition(8)
        out = condition(torch.tensor([-math.inf, -20.0, -30.0, 20.0, math.inf]), None)
        assert torch.isfinite(out).all()
        # Vector and scalar code round sines differently, by a few units in the last place.
        torch.testing.assert_close(out[:3], out[1].expand(3, -1), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(out[3], out[4], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(out[1], out[3])

    def test_tells_near_levels_apart(self):
        torch.manual_seed(0)
        out = Condition(16)(torch.linspace(-14, 14, 281), None)  # a tenth apart
        assert out.diff(dim=0).norm(dim=1).min() > 1e-4

    def test_classes(self):
        torch.manual_seed(0)
        condition = Condition(8, classes=3)
        level = torch.zeros(4)
        out = condition(level, torch.tensor([-1, 0, 1, 2]))
        assert len({tuple(row.tolist()) for row in out}) == 4
        assert torch.equal(condition(level, None)[0], out[0])
        with pytest.raises(IndexError):
            condition(level, torch.tensor([0, 0, 0, 3]))


class TestModulation:
    def test_begins_as_a_plain_layer_norm(self):
        h, c = torch.randn(2, 5, 8) * 3 + 1, torch.randn(2, 4)
        out = Modulation(8, 4)(h, c)
        torch.testing.assert_close(out, torch.nn.functional.layer_norm(h, (8,)))

    def test_by_its_formula(self):
        torch.manual_seed(0)
        block = Modulation(8, 4).double()
        torch.nn.init.normal_(block.to_scale_shift.weight)
        torch.nn.init.normal_(block.to_scale_shift.bias)
        h, c = torch.randn(2, 5, 8).double(), torch.randn(2, 4).double()
        out = block(h, c)
        for g in range(2):
            scale, shift = block.to_scale_shift(c[g]).chunk(2)
            for i in range(5):
                row = (h[g, i] - h[g, i].mean()) / (h[g, i].var(unbiased=False) + 1e-5).sqrt()
                torch.testing.assert_close(out[g, i], (1 + scale) * row + shift, rtol=1e-12, atol=1e-12)
