import pytest
import torch

from noisefold.nn.norms import MLP, Norm, Rows

RAGGED = Rows(torch.tensor([0, 0, 1, 1, 1, 2]))
UNIFORM = Rows(torch.tensor([0, 0, 1, 1, 2, 2]), 2)


@pytest.mark.parametrize("rows", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
@pytest.mark.parametrize("kind", ["layer", "batch", "none"])
def test_modulation_by_its_formula(rows, kind):
    torch.manual_seed(0)
    norm = Norm(kind, 8, condition=4).double()
    for p in norm.parameters():
        torch.nn.init.normal_(p)
    h, c = torch.randn(6, 8).double(), torch.randn(3, 4).double()
    plain = {
        "layer": torch.nn.functional.layer_norm(h, (8,)),
        "batch": (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt(),
        "none": h,
    }[kind]
    out = norm(h, c, rows)
    for i, graph in enumerate(rows.graph.tolist()):
        scale, shift = norm.to_scale_shift(c[graph]).chunk(2)
        torch.testing.assert_close(out[i], (1 + scale) * plain[i] + shift, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", ["layer", "batch", "none"])
def test_initial_modulation_is_the_identity(kind):
    h, c = torch.randn(6, 8), torch.randn(3, 4)
    torch.testing.assert_close(Norm(kind, 8, 4)(h, c, RAGGED), Norm(kind, 8)(h, c, RAGGED))


def test_affine_parameters_only_without_a_condition():
    assert {k for k, _ in Norm("layer", 8).named_parameters()} == {"norm.weight", "norm.bias"}
    assert {k.split(".")[0] for k, _ in Norm("layer", 8, 4).named_parameters()} == {"to_scale_shift"}


class TestMLP:
    def test_by_its_formula(self):
        torch.manual_seed(0)
        mlp = MLP((3, 4, 4, 2), "relu", "layer")
        h = torch.randn(5, 3)
        a = torch.relu(mlp.norms[0](mlp.linears[0](h)))
        b = torch.relu(mlp.norms[1](mlp.linears[1](a)))
        torch.testing.assert_close(mlp(h), mlp.linears[2](b))
        first = torch.nn.functional.linear(h, *mlp.map())
        torch.testing.assert_close(mlp.tail(first), mlp(h), rtol=0, atol=0)

    @pytest.mark.parametrize("shared", [True, False])
    def test_batch_norm_is_folded_into_the_maps_in_evaluation(self, shared):
        torch.manual_seed(0)
        mlp = MLP((3, 4, 4, 2), norm="batch", shared=shared).double()
        for p in (*mlp.norms.parameters(), *mlp.norms.buffers()):
            if p.is_floating_point():
                torch.nn.init.uniform_(p, 0.5, 2.0)
        out = h = torch.randn(5, 3).double()
        for i, linear in enumerate(mlp.linears):
            out = linear(out)
            if i < 2:
                norm = mlp.norms[0 if shared else i]
                out = (out - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
                out = torch.nn.functional.gelu(out * norm.weight + norm.bias)
        # The same map in float64 with its factors in another order.
        torch.testing.assert_close(mlp.eval()(h), out, rtol=1e-12, atol=1e-12)
        before = [p.clone() for p in mlp.norms.buffers()]
        mlp(h)
        assert all(torch.equal(p, q) for p, q in zip(mlp.norms.buffers(), before, strict=True))
        assert not torch.allclose(mlp.train()(h), out)

    def test_shared_norm_mixes_its_statistics(self):
        torch.manual_seed(0)
        mlp = MLP((3, 4, 4, 2), norm="batch", shared=True)
        assert len(mlp.norms) == 1
        h = torch.randn(50, 3) + 5
        mlp(h)
        first = mlp.linears[0](h)
        second = mlp.linears[1](torch.nn.functional.gelu((first - first.mean(0)) / first.std(0)))
        # Momentum .1, twice: the running mean holds both places' statistics, which are not each other's.
        expected = 0.1 * (0.9 * first.mean(0) + second.mean(0))
        torch.testing.assert_close(mlp.norms[0].running_mean, expected, rtol=0.02, atol=0.02)
        assert len(MLP((3, 4, 4, 2), norm="batch").norms) == 2


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="norm must"):
        Norm("group", 8)
    with pytest.raises(ValueError, match="activation must"):
        MLP((2, 2), "tanh")


@pytest.mark.parametrize("rows", [RAGGED, UNIFORM], ids=["ragged", "uniform"])
def test_slices_of_rows(rows):
    values, h = torch.randn(3, 2), torch.randn(6, 2)
    part = rows.part(slice(1, 4))
    out = (part.fold(h[1:4]) * part.spread(values)).view(-1, 2)
    assert torch.equal(out, h[1:4] * values[rows.graph[1:4]])
    assert rows.part(slice(None)) is rows
