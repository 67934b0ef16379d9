"""The study of currents from stations: fits of known processes, and that what it scores are the truths."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from noisefold.geometry import IndependentOutputs, Nugget
from noisefold.geometry.vector_kernels import DivergenceFree
from noisefold.studies.functions.winds import STUDY, Currents, fitted
from noisefold.studies.kit.datasets import data_folder

FILE = data_folder() / "wind" / "agulhas_currents_daily.npz"


def test_a_fit_finds_the_length_of_the_data():
    generator = torch.Generator().manual_seed(0)
    truth = DivergenceFree(0.7) + IndependentOutputs(Nugget(0.01), 2)
    fields = []
    for _ in range(6):
        pos = 4 * torch.rand(60, 2, generator=generator, dtype=torch.float64)
        lower = torch.linalg.cholesky(truth.matrix(pos))
        white = torch.randn(120, generator=generator, dtype=torch.float64)
        fields.append((pos, (lower @ white).view(-1, 2)))

    def kernel(p):
        return p[0] * DivergenceFree(p[1]) + IndependentOutputs(Nugget(p[2]), 2)

    (variance, length, noise), value = fitted(kernel, (0.5, 1.2, 0.1), fields, 15)
    assert length == pytest.approx(0.7, rel=0.1)
    assert variance == pytest.approx(1.0, rel=0.4)
    assert noise == pytest.approx(0.01, rel=0.5)
    assert value > fitted(kernel, (1.0, 0.7, 0.01), fields, 0)[1]


def test_anomalies_have_mean_zero_where_models_learn():
    values = torch.from_numpy(np.random.default_rng(0).normal(size=(100, 5, 2))).float()
    currents = Currents(torch.linspace(-40, -30, 5), torch.linspace(15, 35, 5), values)
    assert currents.days == 27
    assert float(currents.anomalies[:27].mean(0).abs().max()) < 1e-6
    assert float(currents.anomalies[27:].mean(0).abs().max()) > 0.05
    assert currents.pos[2].tolist() == [0.0, 0.0]


@pytest.mark.slow
@pytest.mark.skipif(not FILE.is_file(), reason="needs ../shared/data/wind")
def test_the_smallest_scale(tmp_path):
    files = STUDY.run(tmp_path, "smoke")
    assert [f.suffix for f in files] == [".json", ".md", ".png"]
