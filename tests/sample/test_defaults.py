"""Which way of conditioning a model gets where none is asked for, and which solver goes with it."""

import pytest

from noisefold.noise import Gaussian, GPNoise, Nugget, QuasiRandom, variable_of
from noisefold.sample import (
    DDIM,
    Amortized,
    Heun,
    LangevinCorrection,
    Reconstruction,
    Repaint,
    Replacement,
)
from noisefold.sample.defaults import method_for, solver_for

WHITE, CORRELATED = Gaussian(), Gaussian(source=GPNoise(Nugget(1.0)))


@pytest.mark.parametrize(
    ("for_completion", "coupling", "path", "variable", "method"),
    [
        (True, "Independent", WHITE, "pos", Amortized),
        (True, "Independent", WHITE, "x", Amortized),
        (False, "Independent", WHITE, "x", LangevinCorrection),
        (False, "", WHITE, "x", LangevinCorrection),
        (False, "Independent", CORRELATED, "x", LangevinCorrection),
        (False, "Independent", Gaussian(source=QuasiRandom()), "x", Repaint),
        (False, "Independent", WHITE, "pos", Repaint),
        (False, "WithinCloud", WHITE, "pos", Replacement),
    ],
)
def test_the_default_way_of_conditioning(for_completion, coupling, path, variable, method):
    assert type(method_for(None, for_completion, coupling, path, variable_of(variable))) is method


@pytest.mark.parametrize("for_completion", [True, False])
def test_what_is_asked_for_wins(for_completion):
    asked = Reconstruction()
    assert method_for(asked, for_completion, "Independent", WHITE, variable_of("x")) is asked


def test_a_coupling_within_clouds_takes_replacement_alone():
    asked = Replacement()
    assert method_for(asked, False, "WithinCloud", WHITE, variable_of("pos")) is asked
    with pytest.raises(ValueError, match=r"method Repaint .*WithinCloud"):
        method_for(Repaint(), False, "WithinCloud", WHITE, variable_of("pos"))


@pytest.mark.parametrize(
    ("method", "solver"),
    [
        (Replacement(), DDIM),
        (Repaint(), DDIM),
        (LangevinCorrection(), DDIM),
        (Amortized(), Heun),
        (Reconstruction(), Heun),
    ],
)
def test_the_default_solver(method, solver):
    assert type(solver_for(None, WHITE, method)) is solver
