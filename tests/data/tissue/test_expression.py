"""Expression: the formula, and what is undone."""

import dataclasses
import json
import math

import anndata
import numpy as np
import pytest
import torch
from made_tissues import tissue
from scipy import sparse

from noisefold.configuration import decode, encode
from noisefold.data import Expression, Tissue
from noisefold.geometry.graphs import Graphs


def counted(n=200, genes=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rate = torch.rand(genes, generator=generator, dtype=torch.float64) * 20
    x = torch.poisson(rate * 4 * torch.rand(n, 1, generator=generator, dtype=torch.float64), generator)
    x[5] = 0
    x[:, 2] = 0
    return Graphs(torch.zeros(n, 2), x, torch.tensor([0, n // 3, n]))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
@pytest.mark.parametrize("size", ["feature", "none"])
def test_undo_brings_counts_back(dtype, close, size):
    graphs = counted()
    graphs = graphs.replace(x=graphs.x.to(dtype))
    expression = Expression.fit(graphs, size=size)
    out = expression.apply(graphs)
    assert out.features == 6 + (size == "feature")
    assert out.x.dtype == dtype
    back = expression.undo(out)
    # expm1 turns the rounding of y, of some eps, into as much relative to the count.
    torch.testing.assert_close(back.x, graphs.x, rtol=close, atol=close)


def test_undo_with_and_without_totals():
    graphs = counted()
    expression = Expression.fit(graphs, size="median")
    out = expression.apply(graphs)
    totals = graphs.x.sum(1)
    torch.testing.assert_close(expression.undo(out, totals).x, graphs.x, rtol=1e-12, atol=1e-12)
    common = expression.undo(out).x
    full = totals > 0
    torch.testing.assert_close(common[full].sum(1), totals.clamp(min=1).median().expand(int(full.sum())))
    assert common[5].abs().max() < 1e-12


def test_applied_expression_is_standard_and_as_the_formula_says():
    graphs = counted()
    expression = Expression.fit(graphs, size="feature")
    x = graphs.x
    totals = x.sum(1, keepdim=True).clamp(min=1)
    logs = torch.cat([torch.log1p(x / totals * totals.median()), (totals / totals.median()).log()], 1)
    scale = logs.std(0, correction=0)
    scale[2] = 1
    torch.testing.assert_close(
        expression.apply(graphs).x, (logs - logs.mean(0)) / scale, rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("kind", ["log", "fractions", "continuous"])
def test_what_is_no_counts_is_only_standardised(kind):
    x = torch.randn(50, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64).abs()
    expression = Expression.fit(Graphs(torch.zeros(50, 2), x), values=kind)
    out = expression.apply(Graphs(torch.zeros(50, 2), x))
    torch.testing.assert_close(out.x, (x - x.mean(0)) / x.std(0, correction=0), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(expression.undo(out).x, x, rtol=1e-12, atol=1e-12)


def test_a_sparse_tissue_is_measured_part_by_part(monkeypatch):
    """As its dense graphs are, whatever the parts; of a gene that never changes the scale is 1."""
    data = tissue(n=400)
    constant = sparse.csr_matrix(np.full((400, 1), 3, dtype=np.float32))
    wide = anndata.AnnData(sparse.hstack([data.X, constant]).tocsr(), obs=data.obs)
    wide.obsm["spatial"] = data.obsm["spatial"]
    read = Tissue.read(wide)
    for size in ("none", "feature", "median"):
        dense_ = Expression.fit(read.graphs(), size=size)
        monkeypatch.setattr("noisefold.data.tissue.expression._AT_ONCE", 37)
        parts = Expression.fit(read, size=size)
        np.testing.assert_allclose(parts.mean, dense_.mean, rtol=1e-12)
        np.testing.assert_allclose(parts.scale, dense_.scale, rtol=1e-12)
        assert parts.target == dense_.target
        if size == "none":
            assert parts.scale[5] == 1


def test_known_counts_stay_known_without_totals_alone():
    known = torch.tensor([[True, True], [False, False], [True, False]])
    assert torch.equal(Expression(size="none").entries(known), known)
    assert torch.equal(Expression("log", size="feature").entries(known), known)
    with pytest.raises(ValueError, match="size 'none'"):
        Expression(size="median").entries(known)
    whole = Expression(size="feature").entries(known[:2])
    assert whole.tolist() == [[True] * 3, [False] * 3]


def test_counts_are_never_below_zero():
    expression = Expression.fit(counted())
    low = counted().replace(x=torch.full((200, 6), -9.0))
    assert expression.undo(low).x.min() == 0
    for values in ("log", "fractions"):
        there = Expression(values, "none", mean=(1.0,) * 6, scale=(2.0,) * 6)
        assert there.undo(low).x.min() == 0
    other = Expression("continuous", "none", mean=(1.0,) * 6, scale=(2.0,) * 6)
    assert other.undo(low).x.min() == -17


def test_expression_is_written_and_read():
    expression = Expression.fit(counted())
    assert expression.values == "counts"
    assert decode(json.loads(json.dumps(encode(expression)))) == expression


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Expression("word"), "values must be one of counts"),
        (lambda: Expression(size="large"), "size must be one of feature"),
        (lambda: Expression(mean=(0.0,)), "mean and scale must be equally long"),
        (lambda: Expression.fit(Graphs(torch.zeros(3, 2))), "have no features x"),
        (lambda: Expression.fit(Graphs(torch.zeros(2, 2), torch.full((2, 1), torch.nan))), "x holds NaN"),
        (lambda: Expression.fit(Graphs(torch.zeros(2, 2), -torch.ones(2, 1)), "counts"), "least is -1"),
        (
            lambda: Expression.fit(counted()).apply(counted(genes=4)),
            "x must have 6 features, as was fitted, got 4",
        ),
        (
            lambda: Expression.fit(counted(), size="feature").undo(counted()),
            "x must have 7 features, as was fitted, got 6",
        ),
        (
            lambda: Expression.fit(counted(), size="none").undo(counted(), torch.ones(200)),
            "belong to size 'median', got .* for size 'none'",
        ),
    ],
)
def test_expression_refuses(call, says):
    with pytest.raises(ValueError, match=says):
        call()


def test_what_is_nearer_to_zero_than_to_the_least_value_seen_is_zero():
    counts = torch.tensor([[0.0, 3.0], [1.0, 5.0], [4.0, 0.0]])
    graphs = Graphs(torch.zeros(3, 2), counts)
    transform = Expression.fit(graphs, "counts")
    assert transform.least == pytest.approx((math.log(2), math.log(4)))
    drawn = counts.clone()
    drawn[0, 0], drawn[2, 1] = 0.3, 0.9  # log(1.3) < log(2) / 2 and log(1.9) < log(4) / 2
    assert torch.equal(transform.undo(transform.apply(graphs.replace(x=drawn))).x == 0, counts == 0)
    drawn[0, 0], drawn[2, 1] = 0.5, 1.1
    kept = transform.undo(transform.apply(graphs.replace(x=drawn))).x
    torch.testing.assert_close(kept, drawn)
    with pytest.raises(ValueError, match="least must be empty or hold a number for each gene"):
        dataclasses.replace(transform, least=(1.0,))


def test_continuous_values_near_zero_stay():
    graphs = Graphs(torch.zeros(3, 2), torch.tensor([[-1.0], [0.001], [2.0]]))
    transform = Expression.fit(graphs, "continuous")
    assert transform.least == ()
    torch.testing.assert_close(transform.undo(transform.apply(graphs)).x, graphs.x)
