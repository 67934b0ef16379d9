"""Random masks: what each kind leaves unknown, and what an informed network makes of them."""

import pytest
import torch
from tiny_training import SMALL
from torch import Tensor, nn

from noisefold.geometry import Graphs
from noisefold.model import Model
from noisefold.nn import Denoiser, Latents
from noisefold.noise import Gaussian, Independent, Known, Streams, Target, WithinCloud
from noisefold.sample import Amortized, Reconstruction, Replacement
from noisefold.train import Masks, Training, train
from noisefold.train.objective import batch_loss

COUNT = 400
GRID = torch.cartesian_prod(torch.arange(5.0), torch.arange(4.0)).flip(1)
GRAPHS = Graphs.dense(GRID.expand(COUNT, -1, -1), torch.randn(COUNT, 20, 3))


def drawn(kind: str) -> Tensor:
    """Masks of one kind, ``[COUNT, 20, 3]``."""
    return Masks((kind,))(GRAPHS, 3, Streams(0, range(COUNT))).view(COUNT, 20, 3)


def test_nothing_is_known_of_nothing():
    assert not drawn("nothing").any()


def test_nodes_are_known_whole_and_in_every_amount():
    known = drawn("nodes")
    assert torch.equal(known.all(2), known.any(2))
    # A uniform share makes every number of known nodes, 0 to 20, equally likely.
    counts = torch.bincount(known[..., 0].sum(1), minlength=21)
    assert float(((counts - COUNT / 21) ** 2 / (COUNT / 21)).sum()) < 50  # chi squared with 20: p < .001


def test_entries_are_known_alone():
    known = drawn("entries")
    assert not torch.equal(known.all(2), known.any(2))
    assert 0.4 < float(known.double().mean()) < 0.6


def test_features_are_known_at_all_nodes_and_never_all_of_them():
    known = drawn("features")
    assert torch.equal(known.all(1), known.any(1))
    assert not known.all(2).any()
    assert set(known.any(1).sum(1).tolist()) == {0, 1, 2}


def test_a_region_is_the_nearest_nodes_of_one():
    known = drawn("region")[..., 0]
    away = torch.cdist(GRID, GRID)
    for mask in known[:50]:
        hidden = (~mask).nonzero()[:, 0]
        assert any(
            float(away[c, hidden].max()) <= float(away[c, mask].min() if mask.any() else 9.0) for c in hidden
        )


def test_a_slab_is_a_piece_of_one_axis():
    known = drawn("slab").all(2).view(COUNT, 5, 4)
    in_time, in_space = known.all(2) == known.any(2), known.all(1) == known.any(1)
    assert bool((in_time.all(1) | in_space.all(1)).all())
    times = known.all(2)[in_time.all(1)].tolist()
    # First time alone, first and last alone, last alone: the usual questions occur.
    for wanted in ([True, *[False] * 4], [True, *[False] * 3, True], [*[False] * 4, True]):
        assert times.count(wanted) >= 3


def test_a_mask_depends_on_the_graph_and_its_stream_alone():
    masks = Masks()
    whole = masks(GRAPHS[:6], 3, Streams(3, range(6)))
    parts = [masks(GRAPHS[i : i + 1], 3, Streams(3, [i])) for i in range(6)]
    assert torch.equal(torch.cat(parts), whole)
    assert not torch.equal(masks(GRAPHS[:6], 3, Streams(4, range(6))), whole)


class Spy(nn.Module):
    """Keeps what it is shown, and answers zero."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, graphs: Graphs, log_snr: Tensor, label: Tensor | None = None) -> Tensor:
        self.seen = graphs
        return 0 * self.weight + torch.zeros(graphs.num_nodes, 3)


def test_an_informed_network_sees_known_values_clean_and_a_flag_beside_each():
    spy = Spy()
    denoiser = Denoiser(spy, Gaussian(), Target(), "x", for_completion=True)
    graphs = GRAPHS[:2]
    x_t, value = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))
    mask = Masks(("entries",))(graphs, graphs.features, Streams(0, range(2)))
    out = denoiser(graphs, x_t, torch.tensor([0.3, 0.8]), known=Known(value, mask))
    assert spy.seen.x.shape == (40, 6)
    assert torch.equal(spy.seen.x[:, :3][mask], value[mask])
    assert torch.equal(spy.seen.x[:, 3:], mask.float())
    assert torch.equal(out[mask], value[mask])
    denoiser(graphs, x_t, torch.tensor([0.3, 0.8]))
    assert not spy.seen.x[:, 3:].any()
    of_places = Denoiser(spy, Gaussian(), Target(), "pos", for_completion=True)
    pos, flags = torch.randn(40, 2), torch.ones(40, 2, dtype=torch.bool)
    spy.forward = lambda graphs, *_: spy.__setattr__("seen", graphs) or torch.zeros(40, 2)
    of_places(graphs.replace(x=None), pos, torch.tensor([0.3, 0.8]), known=Known(pos + 1, flags))
    assert torch.equal(spy.seen.pos, pos + 1)
    assert torch.equal(spy.seen.x, torch.ones(40, 2))


def test_what_is_known_has_no_loss():
    spy, graphs = Spy(), GRAPHS[:8]
    quantiles = torch.full((8,), 0.5)
    denoiser = Denoiser(spy, Gaussian(), Target("data", residual=False), "x", for_completion=True)
    loss, _ = batch_loss(
        denoiser, graphs, Streams(0, range(8)), quantiles, Independent(), masks=Masks(("nodes",))
    )
    mask = Masks(("nodes",))(graphs, graphs.features, Streams(0, range(8)))
    expected = graphs.x.square().masked_fill(mask, 0).view(8, -1).mean(1)
    torch.testing.assert_close(loss, expected)


@pytest.mark.parametrize("variable", ["x", "pos"])
def test_an_informed_model_trains_completes_samples_and_comes_back(tmp_path, variable):
    data = GRAPHS[:16] if variable == "x" else GRAPHS[:16].replace(x=None)
    net = Latents(2, 6 if variable == "x" else 2, 3 if variable == "x" else 2, **SMALL)
    model = Model(net, variable=variable, for_completion=True).fit(
        data, steps=3, batch=4, warmup=1, masks=Masks()
    )
    model.save_pretrained(tmp_path)
    again = Model.from_pretrained(tmp_path)
    assert again.for_completion
    assert again.coupling == "Independent"
    known = torch.arange(data[:2].num_nodes) % 2 == 0
    options = {"draws": 2, "steps": 2}
    done = again.complete(data[:2], known, **options)
    assert torch.equal(done.values, again.complete(data[:2], known, method=Amortized(), **options).values)
    other = again.complete(data[:2], known, method=Reconstruction(), **options)
    assert not torch.equal(done.values, other.values)
    assert len(again.sample(2, like=data if variable == "x" else None, steps=2)) == 2


def test_a_training_with_masks_repeats():
    def weights(**changes):
        torch.manual_seed(0)
        model = Model(Latents(2, 6, 3, **SMALL), variable="x", for_completion=True)
        model.fit(GRAPHS[:16], **{"steps": 3, "batch": 4, "warmup": 1, "lr": 0.01} | changes)
        return torch.cat([p.flatten() for p in model.net.parameters()])

    assert torch.equal(weights(), weights())
    assert not torch.equal(weights(masks=Masks(("nodes",))), weights())


def clouds(**options) -> Model:
    data = GRAPHS[:4].replace(x=None)
    return Model.for_data(data, **SMALL).fit(data, steps=1, batch=2, warmup=0, **options)


def test_a_model_of_coupled_clouds_is_completed_by_replacement_alone():
    model, known = clouds(coupling=WithinCloud()), torch.arange(20) < 10
    data = GRAPHS[:1].replace(x=None)
    assert model.coupling == "WithinCloud"
    done = model.complete(data, known, draws=1, steps=2)
    same = model.complete(data, known, draws=1, steps=2, method=Replacement())
    assert torch.equal(done.values, same.values)
    with pytest.raises(ValueError, match="method Reconstruction needs states that are data plus independent"):
        model.complete(data, known, draws=1, steps=2, method=Reconstruction())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Masks(("holes",)), r"kinds must be some of nothing, .*, got \('holes',\)"),
        (lambda: Masks(()), r"kinds must be some of"),
        (lambda: clouds(masks=Masks()), "masks are for a model for completion"),
        (
            lambda: clouds().complete(GRAPHS[:1].replace(x=None), torch.ones(20) > 0, method=Amortized()),
            "method Amortized needs a model that was trained with masks",
        ),
        (
            lambda: train(
                Denoiser(Spy(), Gaussian(), Target(), for_completion=True),
                GRAPHS.replace(x=None),
                Training(coupling=WithinCloud()),
            ),
            "coupling WithinCloud leaves the noise of what is unknown",
        ),
    ],
)
def test_misuse_is_said_in_one_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
