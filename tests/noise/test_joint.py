"""Joint paths: every part is on its own path, and parts are independent given the data."""

import pytest
import torch

import noisefold as nf
from noisefold.geometry import centred
from noisefold.noise import (
    VARIABLES,
    Categories,
    Centred,
    Classes,
    Discrete,
    Features,
    Gaussian,
    Joint,
    JointPath,
    JointPrediction,
    JointVariable,
    Known,
    Positions,
    Streams,
    Target,
    Types,
)

DISCRETE = Discrete((0.5, 0.3, 0.2), (0.7, 0.3))
PATH = JointPath((Gaussian(source=Centred()), DISCRETE), powers=(2.0, 1.0))
POS_TYPES = VARIABLES["pos+types"]


def molecule(copies=1):
    edges = torch.tensor([[0, 1, 1, 2], [1, 0, 2, 1]])
    pos = torch.tensor([[0.0, 0.0, 1.0], [1.0, -1.0, 0.0], [-1.0, 1.0, -1.0]], dtype=torch.float64)
    one = nf.Graphs(pos, edge_index=edges, node_type=torch.tensor([0, 2, 1]))
    return one[[0] * copies]


def test_each_part_is_on_its_own_path():
    graphs, t = molecule(4000), torch.tensor(0.6, dtype=torch.float64)
    clean = POS_TYPES.read(graphs)
    pos, types = PATH.corrupt(clean, t, graphs, Streams(0, range(4000))).parts
    alone = PATH.parts[0].corrupt(graphs.pos, t**2, graphs, Streams(0, range(4000)))
    assert torch.equal(pos, alone)
    for node, clean_type in enumerate((0, 2, 1)):
        found = torch.bincount(types.nodes.view(-1, 3)[:, node], minlength=3).double() / 4000
        wanted = 0.6 * torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        wanted[clean_type] += 0.4
        assert (found - wanted).abs().max() < 0.04  # five standard errors


def test_parts_are_independent_given_the_data():
    graphs, t = molecule(4000), torch.tensor(0.5, dtype=torch.float64)
    pos, types = PATH.corrupt(POS_TYPES.read(graphs), t, graphs, Streams(1, range(4000))).parts
    shift = (pos - graphs.pos).view(4000, 3, 3)[:, 0]
    changed = (types.pairs.view(4000, 3) != torch.tensor([1, 0, 1])).double()
    table = torch.corrcoef(torch.cat([shift, changed], 1).T)[:3, 3:]
    assert table.abs().max() < 0.08  # five standard errors of a correlation that is 0


def test_centred_noise_is_normal_on_its_subspace():
    graphs = nf.Graphs(torch.zeros(4 * 3000, 2, dtype=torch.float64), ptr=torch.arange(3001) * 4)
    eps = Centred().draw(graphs, 2, Streams(0, range(3000))).view(3000, 4, 2)
    assert eps.sum(1).abs().max() < 1e-13
    covariance = torch.cov(eps[:, :, 0].T)
    assert (covariance - (torch.eye(4) - 0.25)).abs().max() < 0.1


def test_prior_and_renoising_are_those_of_the_parts():
    graphs = molecule(3)
    like, one = POS_TYPES.read(graphs), torch.tensor(1.0, dtype=torch.float64)
    start = PATH.prior(graphs, like, one, Streams(0, range(3)))
    assert torch.equal(start.parts[0], PATH.parts[0].prior(graphs, graphs.pos, one, Streams(0, range(3))))
    assert centred(graphs, start.parts[0]).allclose(start.parts[0])
    s, t = torch.tensor(0.2, dtype=torch.float64), torch.tensor(0.5, dtype=torch.float64)
    later = PATH.renoise(start, s, t, graphs, Streams(2, range(3))).parts[0]
    alone = PATH.parts[0].renoise(start.parts[0], s**2, t**2, graphs, Streams(2, range(3)))
    assert torch.equal(later, alone)


def test_log_snr_is_that_of_the_first_part():
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    assert PATH.log_snr(t).allclose(PATH.parts[0].log_snr(t**2))
    assert PATH.time(PATH.log_snr(t)).allclose(t)
    assert PATH.clip(torch.tensor([0.0, 1.0])).tolist() == [0.0, 1.0]  # the discrete part takes both ends
    assert PATH.seen(torch.tensor(0.0))[0] == pytest.approx(1e-3)


def test_variable_reads_and_writes_all_parts():
    graphs = molecule(2)
    state = POS_TYPES.read(graphs)
    moved = POS_TYPES.write(
        graphs, Joint((state.parts[0] + 1, Categories(state.parts[1].nodes * 0, state.parts[1].pairs)))
    )
    assert torch.equal(moved.pos, graphs.pos + 1)
    assert moved.node_type.tolist() == [0] * 6
    assert torch.equal(Types().read(moved).pairs, state.parts[1].pairs)
    assert POS_TYPES.twice(state).parts[0].shape == (12, 3)
    assert POS_TYPES.columns(state) == 4
    assert not POS_TYPES.positions_given
    entries = torch.tensor([[True] * 3 + [False]] * 3 + [[False] * 4] * 3)
    mask = POS_TYPES.mask(graphs, entries)
    over = POS_TYPES.over(Known(state, mask), POS_TYPES.read(moved))
    assert torch.equal(over.parts[0][:3], graphs.pos[:3])
    assert torch.equal(over.parts[0][3:], moved.pos[3:])


def test_prediction_is_that_of_the_parts():
    graphs = molecule(2)
    clean, t = POS_TYPES.read(graphs), torch.tensor([0.3, 0.7], dtype=torch.float64)
    state = PATH.corrupt(clean, t, graphs, Streams(0, range(2)))
    generator = torch.Generator().manual_seed(0)
    answer = Joint(
        (
            torch.randn(6, 3, generator=generator, dtype=torch.float64),
            Categories(torch.randn(6, 3, generator=generator), torch.randn(6, 2, generator=generator)),
        )
    )
    target = JointPrediction((Target("velocity"), Classes()), weights=(2.0, 0.5))
    loss = target.loss(answer, clean, state, t, PATH, graphs, None)
    parts = [
        own.loss(answer.parts[k], clean.parts[k], state.parts[k], (t**2, t)[k], PATH.parts[k], graphs, None)
        for k, own in enumerate(target.parts)
    ]
    assert loss.allclose(2 * parts[0] + 0.5 * parts[1])
    estimate = target.estimate(answer, state, t, PATH, graphs)
    assert target.error(estimate, clean, graphs).shape == (2,)
    both = target.guided(POS_TYPES.twice(estimate), 1.0)  # with and without classes alike: nothing to guide
    assert both.parts[0].allclose(estimate.parts[0])
    assert both.parts[1].pairs.allclose(estimate.parts[1].pairs)


def test_any_parts_go_together():
    variable = JointVariable((Positions(), Features()))
    path = JointPath((Gaussian(), Gaussian()))
    path.check(variable)
    assert variable.name == "pos+x"
    assert path.times(torch.tensor(0.5)) == (torch.tensor(0.5),) * 2


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: JointPath(()), "parts"),
        (lambda: JointPath((Gaussian(),), powers=(1.0, 1.0)), "powers"),
        (lambda: JointPath((Gaussian(),), powers=(0.0,)), "powers"),
        (lambda: JointPrediction((Target(),), weights=(-1.0,)), "weights"),
        (lambda: JointVariable((Types(),)), "parts"),
        (lambda: JointVariable((Types(), Types())), "parts"),
        (lambda: PATH.check(Positions()), "variable"),
        (lambda: PATH.check(JointVariable((Types(), Positions()))), "variable"),
        (lambda: PATH.parts[0].check_observed(torch.ones(3, 3, dtype=torch.bool)), "White"),
    ],
)
def test_what_does_not_fit_is_refused(make, argument):
    with pytest.raises(ValueError, match=argument):
        make()
