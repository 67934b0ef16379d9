"""The corrector of discrete paths against detailed balance, and with exact denoisers without any draw."""

import networkx as nx
import pytest
import torch

import noisefold as nf
from noisefold.noise import Categories, Discrete
from noisefold.sample import D3PM, DiscreteFlow, Power, PredictorCorrector
from noisefold.sample.predictor_corrector import corrected, corrector_rates
from noisefold.theory.graph_oracle import FiniteGraphs, propagated

F64 = torch.float64
SHARES = (0.6, 0.4)
STATES = torch.cartesian_prod(*[torch.arange(2)] * 3)


@pytest.fixture(scope="module")
def law():
    both = [nf.Graphs.from_networkx(g) for g in (nx.empty_graph(3), nx.complete_graph(3))]
    return FiniteGraphs(nf.Graphs.collate(both), SHARES)


def marginal(keep, noise):
    """Probabilities of the eight states of three edges at a level: all absent or all present, then noised."""

    def of(value):
        same = (value == STATES).double()
        return (keep * same + (1 - keep) * noise[STATES]).prod(1)

    return SHARES[0] * of(0) + SHARES[1] * of(1)


def after(law, noise_name, start, t, width):
    """Distribution of the states after one correction, of all eight together."""
    path = Discrete((1.0,), SHARES, noise_name)
    noise = path.noise_distribution.pairs
    state = Categories(torch.zeros(24, dtype=torch.int64), STATES.reshape(-1))
    estimate = law.denoiser(path)(state, torch.tensor(t, dtype=F64))
    rows = corrected(estimate.pairs, STATES.reshape(-1), noise, t=t, width=width).view(8, 3, 2)
    assert rows.min() >= 0
    assert (rows.sum(2) - 1).abs().max() < 1e-12
    step = torch.stack([rows[:, e][:, STATES[:, e]] for e in range(3)]).prod(0)
    return start @ step


def test_rates_are_in_detailed_balance():
    shares = torch.softmax(torch.randn(5, dtype=F64, generator=torch.Generator().manual_seed(0)), 0)
    for noise in (shares, torch.full((5,), 0.2, dtype=F64), torch.eye(5, dtype=F64)[-1]):
        for keep in (0.2, 0.7):
            p = keep * torch.eye(5, dtype=F64) + (1 - keep) * noise
            flow = p[:, :, None] * corrector_rates(keep, noise)
            assert (flow - flow.transpose(1, 2)).abs().max() < 1e-12
            assert flow.max() > 0.01


@pytest.mark.parametrize("noise", ["marginal", "uniform"])
def test_the_marginal_is_stationary_up_to_the_square_of_the_step(law, noise):
    t, path = 0.4, Discrete((1.0,), SHARES, noise)
    start = marginal(1 - t, path.noise_distribution.pairs)
    errors = [float((after(law, noise, start, t, h) - start).abs().sum()) for h in (0.02, 0.01)]
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # an Euler step of a process that is stationary
    assert errors[1] < 1e-3


def test_a_wrong_distribution_is_brought_nearer(law):
    t, path = 0.4, Discrete((1.0,), SHARES, "marginal")
    noise = path.noise_distribution.pairs
    want, current = marginal(1 - t, noise), noise[STATES].prod(1)
    first = float((current - want).abs().sum())
    for _ in range(60):
        current = after(law, "marginal", current, t, 0.02)
    assert float((current - want).abs().sum()) < 0.1 * first


@pytest.mark.parametrize(
    ("noise", "predictor"), [("marginal", DiscreteFlow()), ("uniform", D3PM()), ("absorbing", DiscreteFlow())]
)
def test_corrections_lower_the_error_of_a_step_and_vanish_with_it(law, noise, predictor):
    path, grid = Discrete((1.0,), SHARES, noise), Power(2)
    want = torch.tensor([*SHARES, 0.0], dtype=F64)

    def error(solver, steps):
        return float((propagated(law, path, solver, grid(path, steps)) - want).abs().sum() / 2)

    solver = PredictorCorrector(predictor)
    assert error(solver, 100) < 0.6 * error(solver, 50)
    assert error(solver, 50) < 0.02


def test_steps_evaluate_once_more_for_each_correction(law):
    path, asked = Discrete((1.0,), SHARES, "marginal"), []
    frame = nf.Graphs(torch.zeros(6, 0), ptr=torch.tensor([0, 3, 6]))
    exact, times = law.denoiser(path), Power(2)(path, 4)

    def denoise(state, t):
        asked.append(float(t))
        return exact(state, t)

    task = nf.sample.Task(denoise, path, times, frame, nf.noise.Streams(0, range(2)), nf.noise.Types())
    state = path.prior(frame, nf.noise.Types().read(frame), times[0], task.random)
    PredictorCorrector(corrections=2)(task, state)
    t = times.tolist()
    assert asked == [t[0], t[1], t[1], t[1], t[2], t[2], t[2], t[3], t[3], t[3]]


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="corrections"):
        PredictorCorrector(corrections=0)
    with pytest.raises(ValueError, match="size"):
        PredictorCorrector(size=-1.0)
    with pytest.raises(ValueError, match="solver"):
        PredictorCorrector(PredictorCorrector())
