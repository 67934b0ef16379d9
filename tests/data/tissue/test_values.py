"""Kinds of values."""

import numpy as np
from scipy import sparse

from noisefold.data.tissue.values import recognise


def test_kinds_of_values():
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.5, 2, (300, 30))).astype(np.float32)
    sizes = counts.sum(1, keepdims=True) / counts.sum(1).mean()
    scaled = (counts / np.maximum(sizes, 1e-3)).astype(np.float32)
    fractions = rng.dirichlet(np.ones(8), 300).astype(np.float32)
    cases = [(counts, "counts"), (fractions, "fractions"), (rng.gamma(1, 1, (300, 30)), "continuous")]
    cases += [(np.log1p(scaled) / np.log(base), "log") for base in (np.e, 2, 10)]
    cases += [(np.log1p(counts), "log"), (scaled, "continuous"), (counts - 1, "continuous")]
    for i, (values, kind) in enumerate(cases):
        assert recognise(values) == kind, i
        assert recognise(sparse.csr_array(values)) == kind, i
