import pytest
import torch

from noisefold.nn import DMP, row_blocks
from noisefold.nn.adaptive import Fixed
from noisefold.nn.dmp.network import Details
from noisefold.testing import example_batch, perturbed

WIDTH = 16


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of seven rows or a few more; the first rows of those asked for, None for all at once."""
    seen, whole = [], row_blocks.map_row_blocks

    def watched(function, like, *args, **options):
        def watching(part):
            seen.append(part.start)
            return function(part)

        return whole(watching, like, *args, **options)

    monkeypatch.setattr(row_blocks, "_ENTRIES", 7 * WIDTH)
    monkeypatch.setattr(row_blocks, "_PRODUCTS", 0)
    for module in ("network", "layers", "message"):
        monkeypatch.setattr(f"noisefold.nn.dmp.{module}.map_row_blocks", watched)
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"conv": "gcn", "details": Details(shared_gate=True, residual=False)},
        {"conv": "edge", "embedding": "time", "norm": "none", "aggregate": "sum"},
        {"adaptive": Fixed(), "neighbors": "knn"},
        {"norm": "batch", "details": Details(inner_norm=True)},
    ],
    ids=["default", "gcn", "edge", "alone", "batch norm"],
)
@pytest.mark.parametrize("sizes", [(1, 2, 3, 30, 64), (20, 20, 20)], ids=["ragged", "uniform"])
def test_blocks_do_not_change_a_network(options, sizes, small_blocks):
    torch.manual_seed(0)
    net = perturbed(DMP(width=WIDTH, layers=2, **options)).double()
    graphs, log_snr, _ = example_batch(sizes)
    graphs, log_snr = graphs.to(dtype=torch.float64), log_snr.double()
    with torch.no_grad():
        net(graphs, log_snr)  # moments of batch norm that are not those they begin with
    net.eval()
    small_blocks.clear()
    at_once = net(graphs, log_snr)
    assert set(small_blocks) == {None}
    small_blocks.clear()
    with torch.no_grad():
        in_blocks = net(graphs, log_snr)
    # Lift, head, and two of each of two layers, in steps of eight rows; supernodes have a lift of their own.
    assert all(small_blocks.count(start) >= 6 for start in range(8, sum(sizes), 8))
    # Sums over fewer rows at once may be ordered otherwise within a row: rounding of float64.
    torch.testing.assert_close(in_blocks, at_once, rtol=1e-12, atol=1e-12)


def test_batch_statistics_see_all_rows(small_blocks):
    torch.manual_seed(0)
    net = perturbed(DMP.paper(width=WIDTH, layers=2)).train()
    graphs, log_snr, _ = example_batch()
    expected = net(graphs, log_snr)
    small_blocks.clear()
    with torch.no_grad():
        assert torch.equal(net(graphs, log_snr), expected)
    assert set(small_blocks) == {None}


@pytest.mark.parametrize("n", [0, 1, 3, 4, 8, 11])
def test_inputs_are_overwritten_only_on_request(n, monkeypatch):
    monkeypatch.setattr(row_blocks, "_ENTRIES", 4 * 3)
    monkeypatch.setattr(row_blocks, "_PRODUCTS", 0)
    values = torch.randn(n, 3)
    before, expected = values.clone(), values.exp()

    def exponential(part):
        return values[part].exp()

    with torch.no_grad():
        assert torch.equal(row_blocks.map_row_blocks(exponential, values, False), expected)
        assert torch.equal(values, before)
        out = row_blocks.map_row_blocks(exponential, values, False, into=values)
    assert torch.equal(out, expected)
    assert (out is values) == (n >= 8)
