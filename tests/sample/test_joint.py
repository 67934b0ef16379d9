"""The solver of joint paths against exact denoisers."""

import pytest
import torch

import noisefold as nf
from noisefold.geometry import Centre
from noisefold.noise import (
    VARIABLES,
    Centred,
    Discrete,
    Features,
    Gaussian,
    Joint,
    JointPath,
    JointVariable,
    Positions,
    Streams,
    Types,
)
from noisefold.sample import (
    D3PM,
    DDIM,
    Ancestral,
    Constrained,
    DiscreteFlow,
    DPMSolver,
    Heun,
    JointSolver,
    Power,
    Task,
    Uniform,
    default_solver,
)
from noisefold.sample.constraint import constrained
from noisefold.theory import FiniteGeometricGraphs

WEIGHTS = (0.4, 0.3, 0.2, 0.1)
VARIABLE = VARIABLES["pos+types"]
PATH = JointPath((Gaussian(source=Centred()), Discrete((0.5, 0.5), (0.3, 0.7))), powers=(2.0, 1.0))


def few_molecules():
    """Four molecules of three atoms that share some types, bonds and almost some positions."""
    rows = [
        ([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [0, 1, 1], [(0, 1), (0, 2)]),
        ([[0, 0, 0], [1.2, 0, 0], [2.2, 0, 0]], [0, 1, 0], [(0, 1), (1, 2)]),
        ([[0, 0, 0], [1, 0, 0], [0, 1.3, 0]], [0, 0, 1], [(0, 1), (0, 2), (1, 2)]),
        ([[0, 0, 0], [1.2, 0, 0], [2.2, 0, 0.3]], [1, 1, 0], [(0, 1)]),
    ]
    made = [
        nf.Graphs(
            torch.tensor(pos, dtype=torch.float64),
            node_type=torch.tensor(types),
            edge_index=torch.tensor([*edges, *[(j, i) for i, j in edges]]).T,
        )
        for pos, types, edges in rows
    ]
    return Centre().apply(nf.Graphs.collate(made))


def drawn(solver, steps, count, path=PATH):
    """Shares of the molecules among final states, and whether both parts are of the same molecule."""
    graphs = few_molecules()
    oracle = FiniteGeometricGraphs(graphs, WEIGHTS)
    frame, random = graphs[[0] * count], Streams(0, range(count))
    times = Power(2)(path, steps)
    task = Task(lambda s, t: oracle.estimate(s, t, path), path, times, frame, random, VARIABLE)
    pos, types = solver(task, path.prior(frame, VARIABLE.read(frame), times[0], random)).parts
    nearest = (pos.view(count, 1, 9) - graphs.pos.view(1, 4, 9)).square().sum(2).argmin(1)
    wanted = Types().read(graphs)
    same = (types.nodes.view(count, 3) == wanted.nodes.view(4, 3)[nearest]).all(1)
    same &= (types.pairs.view(count, 3) == wanted.pairs.view(4, 3)[nearest]).all(1)
    return torch.bincount(nearest, minlength=4).double() / count, same


@pytest.mark.parametrize(
    "parts", [(DDIM(), DiscreteFlow()), (Ancestral(), D3PM()), (DPMSolver(), DiscreteFlow())]
)
def test_samples_are_of_the_data_and_their_parts_agree(parts):
    shares, same = drawn(JointSolver(parts), 30, 600)
    # Three standard errors of 600 draws, and what 30 steps leave.
    assert 0.5 * (shares - torch.tensor(WEIGHTS)).abs().sum() < 0.08
    assert same.double().mean() > 0.995


def test_posterior_is_bayes_rule():
    graphs = few_molecules()
    oracle = FiniteGeometricGraphs(graphs, WEIGHTS)
    state = PATH.corrupt(VARIABLE.read(graphs), torch.tensor(0.5), graphs, Streams(0, range(4)))
    t = torch.tensor(0.5, dtype=torch.float64)
    found = oracle.posterior(state, t, PATH)
    for row in range(4):
        mine = Joint(
            (state.parts[0].view(4, 3, 3)[row], state.parts[1].map(lambda v, r=row: v.view(4, 3)[r]))
        )
        scores = []
        for k in range(4):
            clean = Types().read(graphs[k])
            log = torch.log(torch.tensor(WEIGHTS[k], dtype=torch.float64))
            log -= ((mine.parts[0] - 0.75 * graphs[k].pos) ** 2).sum() / (2 * 0.25**2)
            for noun, noise in (("nodes", (0.5, 0.5)), ("pairs", (0.3, 0.7))):
                for now, was in zip(getattr(mine.parts[1], noun), getattr(clean, noun), strict=True):
                    log += torch.log(torch.tensor(0.5 * float(now == was) + 0.5 * noise[int(now)]))
            scores.append(log)
        assert found[row].allclose(torch.softmax(torch.stack(scores), 0), atol=1e-6)


def test_two_gaussian_parts_are_two_samplers_side_by_side():
    """With an estimate that looks at each part alone, each part takes its own solver's steps."""
    frame = nf.Graphs(torch.zeros(5, 2, dtype=torch.float64), torch.zeros(5, 1, dtype=torch.float64))
    variable, path = JointVariable((Positions(), Features())), JointPath((Gaussian(), Gaussian()), (1.0, 2.0))
    times = Uniform()(path, 7)
    start = path.prior(frame, variable.read(frame), times[0], Streams(3, [0]))
    task = Task(lambda s, t: s.map(lambda v: v / 2), path, times, frame, Streams(4, [0]), variable)
    pos, x = JointSolver((DPMSolver(), DDIM()))(task, start).parts
    for part, found, solver, power in ((0, pos, DPMSolver(), 1), (1, x, DDIM(), 2)):
        own = nf.sample.GaussianTask.of(lambda s, t: s / 2, path.parts[part], times**power)
        assert found.allclose(solver(own, start.parts[part]))


def test_default_asks_for_one_estimate_a_step():
    solver = default_solver(PATH)
    assert [type(part) for part in solver.parts] == [DDIM, DiscreteFlow]


def test_constraint_is_kept_by_the_discrete_part():
    solver = constrained(PATH, default_solver(PATH), "tree")
    assert isinstance(solver.parts[1], Constrained)
    assert solver.parts[0] == DDIM()


@pytest.mark.parametrize(
    ("parts", "named"),
    [((Heun(), DiscreteFlow()), "Heun"), ((DDIM(),), "parts"), ((DiscreteFlow(), DDIM()), "parts")],
)
def test_solvers_that_do_not_fit_are_refused(parts, named):
    with pytest.raises(ValueError, match=named):
        drawn(JointSolver(parts), 4, 4)
