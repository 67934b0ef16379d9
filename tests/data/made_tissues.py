"""Tissues made for tests, as AnnData."""

import anndata
import numpy as np
import pandas
from scipy import sparse

N, GENES = 40, ("Sox9", "Bmp2", "Wnt3", "Fgf8", "Shh")


def tissue(matrix="csr", n=N, seed=0):
    """Counts of five genes in cells of three stages, with a layer of logarithms and two sets of places."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rng.gamma(1, 2, (n, len(GENES)))).astype(np.float32)
    forms = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "array": sparse.csr_array, "dense": np.array}
    stage = pandas.Categorical(rng.permutation(np.arange(n) % 3), categories=[0, 1, 2])
    obs = pandas.DataFrame(
        {
            "stage": stage.rename_categories(["E9", "E10", "E11"]),
            "day": 9.0 + stage.codes,
            "x": rng.normal(size=n),
            "y": rng.normal(size=n),
            "word": ["a", "b"] * (n // 2),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    data = anndata.AnnData(forms[matrix](counts), obs=obs, var=pandas.DataFrame(index=list(GENES)))
    data.layers["log1p"] = forms[matrix](np.log1p(counts))
    data.obsm["spatial"] = rng.normal(size=(n, 2))
    data.obsm["spatial_3d"] = rng.normal(size=(n, 3))
    data.obsm["X_pca"] = rng.normal(size=(n, 4))
    return data


def dense(values):
    return np.asarray(values.toarray() if sparse.issparse(values) else values)
