"""The limb bud: an explicit scheme, linear theory and symmetries are the oracles."""

import warnings

import numpy as np
import pytest
import torch

from noisefold.data import limb_bud, simulate

PLACE = torch.arange(301, dtype=torch.float64) * 0.2
GRID = PLACE.numpy()


def noise(samples, seed=0, scale=0.01):
    generator = torch.Generator().manual_seed(seed)
    return scale * (2 * torch.rand(samples, 301, 3, generator=generator, dtype=torch.float64) - 1)


def explicit(initial, duration, step, rates=0.0):
    """Explicit Euler on the three-point Laplacian with mirrored ends, straight from the equations."""
    s, b, w = (v.copy() for v in np.moveaxis(initial.numpy(), 2, 0))
    a = np.broadcast_to(np.asarray(rates, dtype=float), (len(s), 3)).T[..., None]

    def laplacian(f):
        padded = np.pad(f, ((0, 0), (1, 1)), mode="reflect")
        return (padded[:, :-2] + padded[:, 2:] - 2 * f) / 0.04

    for _ in range(round(duration / step)):
        ds = a[0] + b - w - s * s * s
        db = a[1] + 1.27 * s - 0.1 * b + laplacian(b)
        dw = a[2] + 1.59 * s - 0.1 * w + 2.5 * laplacian(w)
        s, b, w = s + step * ds, b + step * db, w + step * dw
    return torch.from_numpy(np.stack([s, b, w], axis=2))


def final(initial, duration, **rest):
    return simulate.evolve(initial, [duration], GRID, **rest)[:, 0]


def matrix(wavenumber):
    """The system at rest, linearised, for a cosine of this wavenumber."""
    return np.array([[0, 1, -1], [1.27, -0.1, 0], [1.59, 0, -0.1]]) - wavenumber**2 * np.diag([0, 1, 2.5])


def growth(wavenumber):
    values = np.linalg.eigvals(matrix(wavenumber))
    return values[values.real.argmax()]


# -- the equations ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_explicit_scheme_converges_to_it():
    """Euler's error is proportional to its step, so the extrapolation to step 0 is far closer than either."""
    initial, rates = 20 * noise(2), noise(2, seed=1)[:, 0]
    ours = final(initial, 20.0, rates=rates, step=0.025)
    coarse, fine = (explicit(initial, 20.0, step, rates) for step in (0.005, 0.0025))
    size = ours.abs().max()
    assert size > 1  # the pattern is there, its cube included
    errors = [float((e - ours).abs().max() / size) for e in (coarse, fine, 2 * fine - coarse)]
    assert errors[0] < 0.03
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.03)
    # Second order: (0.005 / 0.0025 of the first error)^2 and less.
    assert errors[2] < 2e-4


def smooth():
    weights = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    cosines = torch.cos(torch.pi * torch.tensor([0, 1, 2, 3])[:, None] * PLACE / 60)
    return 0.3 * torch.einsum("smg,mp->spg", weights, cosines)


@pytest.mark.slow
@pytest.mark.parametrize(("initial", "order", "error"), [(smooth(), 4, 2e-4), (20 * noise(2), 2, 2e-5)])
def test_order_in_the_step(initial, order, error):
    """Order 4 from a smooth beginning; a rough one has modes faster than the steps, which leave order 2."""
    exact = final(initial, 6.0, step=0.0125)
    errors = [float((final(initial, 6.0, step=h) - exact).abs().max()) for h in (0.2, 0.1, 0.05)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert orders == pytest.approx(order, abs=0.35)
    assert errors[0] / float(exact.abs().max()) < error


@pytest.mark.slow
def test_fastest_growth_is_the_one_published():
    wavenumbers = np.linspace(0, 3, 30_001)
    rates = np.array([growth(k) for k in wavenumbers])
    fastest = rates.real.argmax()
    assert rates[fastest].real == pytest.approx(0.378, abs=5e-4)
    # The maximum is flat: at 0.708 the rate is less by 1e-6.
    assert wavenumbers[fastest] == pytest.approx(0.708, abs=2e-3)
    assert rates[fastest].imag == 0
    others = np.linalg.eigvals(matrix(wavenumbers[fastest]))
    assert np.abs(others.imag).max() == pytest.approx(0.81, abs=5e-3)  # the pair that decays
    assert growth(0).real == pytest.approx(-0.05, abs=1e-12)  # stable without diffusion


@pytest.mark.parametrize("mode", [0, 5, 13, 14, 60, 300])
def test_small_cosines_follow_linear_theory(mode):
    """Exact but for the cube of 1e-7, with the wavenumber that the grid gives to a cosine."""
    wavenumber = 2 / 0.2 * np.sin(np.pi * mode / 600)
    amplitude = np.array([0.3, -1.0, 0.5]) * 1e-7
    cosine = torch.cos(torch.pi * mode * PLACE / 60)
    initial = (cosine[:, None] * torch.tensor(amplitude))[None]
    values, vectors = np.linalg.eig(matrix(wavenumber))
    weights = np.linalg.solve(vectors, amplitude.astype(complex))
    times = np.array([0.7, 3.0, 10.0])
    expected = np.einsum("ge,te,e->tg", vectors, np.exp(times[:, None] * values), weights).real
    out = simulate.evolve(initial, times, GRID)[0]
    theory = cosine[:, None] * torch.tensor(expected)[:, None]
    # The largest value is 1e-7 * exp(0.378 * 10), its cube 1e-16 of it.
    torch.testing.assert_close(out, theory, rtol=0, atol=1e-11 * float(theory.abs().max()) + 1e-18)


def test_growth_measured_in_a_simulation():
    """Mode 14, the fastest that fits the domain: the rate of growth when all else has decayed."""
    initial = (torch.cos(torch.pi * 14 * PLACE / 60)[:, None] * torch.tensor([1e-8, 0, 0]).double())[None]
    early, late = simulate.evolve(initial, [15.0, 20.0], [0.0])[0, :, 0, 0].log().tolist()
    # The pair beside it has shrunk by exp(-1.6 * 15) against it, the cube is 1e-10 of it.
    assert (late - early) / 5 == pytest.approx(growth(10 * np.sin(np.pi * 14 / 600)).real, abs=1e-9)
    assert (late - early) / 5 == pytest.approx(0.378, abs=5e-4)


def test_frequency_measured_in_a_simulation():
    """The decaying pair of mode 14 obeys s[i + 1] = 2 exp(r h) cos(w h) s[i] - exp(2 r h) s[i - 1]."""
    values, vectors = np.linalg.eig(matrix(10 * np.sin(np.pi * 14 / 600)))
    pair = values.imag.argmax()
    weights = torch.tensor(1e-6 * vectors[:, pair].real)
    initial = (torch.cos(torch.pi * 14 * PLACE / 60)[:, None] * weights)[None]
    sox9 = simulate.evolve(initial, np.linspace(0, 1, 11), [0.0])[0, :, 0, 0].numpy()
    (p, q), *_ = np.linalg.lstsq(np.stack([sox9[1:-1], sox9[:-2]], 1), sox9[2:], rcond=None)
    rate, frequency = 0.5 * np.log(-q) / 0.1, np.arccos(p / 2 / np.sqrt(-q)) / 0.1
    assert rate == pytest.approx(values[pair].real, abs=1e-7)
    assert frequency == pytest.approx(values[pair].imag, abs=1e-7)
    assert frequency == pytest.approx(0.81, abs=5e-3)


def test_cube_alone():
    """Without Bmp's and Wnt's coupling s' = -s^3 has the solution s / sqrt(1 + 2 t s^2)."""
    initial = torch.zeros(1, 301, 3, dtype=torch.float64)
    initial[0, :, 0] = torch.linspace(-2, 2, 301)
    system = simulate._System(torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64), None)
    modes = system.run(system.modes(initial), 3.0, 0.5)
    out = torch.einsum("pm,mgs->spg", system.reader(GRID), modes)[..., 0]
    s = initial[..., 0]
    torch.testing.assert_close(out, s / torch.sqrt(1 + 6 * s * s), rtol=0, atol=1e-12)


def test_constant_production_without_pattern():
    """A mode-0 state with production solves the 3 x 3 equations with a: m' = M m + a (tiny, so no cube)."""
    a = np.array([2e-8, -1e-8, 3e-8])
    out = simulate.evolve(torch.zeros(1, 301, 3).double(), [4.0], GRID, rates=torch.tensor(a)[None])[0, 0]
    m = matrix(0)
    values, vectors = np.linalg.eig(m)
    flow = (vectors * np.exp(4 * values)) @ np.linalg.inv(vectors)
    expected = np.linalg.solve(m, (flow - np.eye(3)) @ a).real
    torch.testing.assert_close(out, torch.tensor(expected).expand(301, 3), rtol=1e-10, atol=0)


def test_mirrored_beginnings_give_mirrored_ends():
    initial = noise(2)
    out, mirrored = final(initial, 15.0), final(initial.flip(1), 15.0)
    torch.testing.assert_close(mirrored.flip(1), out, rtol=0, atol=1e-11)
    torch.testing.assert_close(final(-initial, 15.0), -out, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "gene", [pytest.param(g, marks=pytest.mark.slow if k else []) for k, g in enumerate(simulate.GENES)]
)
def test_knockout_is_held_at_zero(gene):
    k = simulate.GENES.index(gene)
    out = simulate.limb_bud(2, [0, 4, 9], GRID, knockout=gene, rates="random", dtype=torch.float64)
    assert out[..., k].abs().max() == 0
    whole = simulate.limb_bud(2, [0, 4, 9], GRID, rates="random", dtype=torch.float64)
    others = [i for i in range(3) if i != k]
    torch.testing.assert_close(out[:, 0][..., others], whole[:, 0][..., others], rtol=0, atol=1e-15)
    assert (out[:, 2][..., others] - whole[:, 2][..., others]).abs().max() > 1e-3


def test_knockout_solves_the_equations_left():
    """Without Sox9, Bmp and Wnt only diffuse and decay."""
    initial = noise(1)
    out = final(initial, 3.0, knockout="sox9")
    mean = (initial[0, 1:-1].sum(0) + initial[0, [0, -1]].sum(0) / 2) / 300
    kept = (out[0, 1:-1].sum(0) + out[0, [0, -1]].sum(0) / 2) / 300
    torch.testing.assert_close(kept[1:], mean[1:] * np.exp(-0.3), rtol=1e-10, atol=0)


# -- times, places, samples ---------------------------------------------------------------------------------


def test_the_beginning_is_uniform():
    out = simulate.limb_bud(64, [0.0], GRID, dtype=torch.float64)
    assert out.abs().max() < 0.01 + 1e-12
    assert float(out.var()) == pytest.approx(0.01**2 / 3, rel=0.02)  # 57,792 values: 4 standard errors
    assert abs(float(out.mean())) < 1e-4


def test_cosines_between_the_grid():
    mode, where = 9, np.array([0.05, 7.77, 31.4159, 60.0])
    initial = torch.cos(torch.pi * mode * PLACE / 60)[None, :, None].repeat(1, 1, 3)
    expected = torch.tensor(np.cos(np.pi * mode * where / 60))[:, None].expand(4, 3)
    torch.testing.assert_close(simulate.evolve(initial, [0.0], where)[0, 0], expected, rtol=0, atol=1e-12)
    values = noise(1)
    torch.testing.assert_close(simulate.evolve(values, [0.0], GRID)[:, 0], values, rtol=0, atol=1e-15)


def test_times_and_places_in_any_order():
    initial = noise(2)
    out = simulate.evolve(initial, [1.0, 2.5, 4.0], [0.0, 30.0, 60.0])
    turned = simulate.evolve(initial, [4.0, 1.0, 4.0, 2.5], [60.0, 30.0])
    # Other steps to the same time: only the scheme's error of 1e-9 is between them.
    torch.testing.assert_close(turned, out[:, [2, 0, 2, 1]][:, :, [2, 1]], rtol=0, atol=1e-8)


def test_a_sample_is_a_function_of_seed_and_index():
    def sample(count, **rest):
        return simulate.limb_bud(count, [0.5, 2.0], [1.0, 20.0], **rest)

    many = sample(simulate._CHUNK + 3)
    assert torch.equal(many[:2], sample(2))
    assert torch.equal(many[: simulate._CHUNK + 1], sample(simulate._CHUNK + 1))
    assert not torch.equal(many[:2], sample(2, seed=1))
    assert len(torch.unique(many[:, 0, 0, 0])) == len(many)


@pytest.mark.slow
def test_float32_is_close_to_float64():
    # 200 steps, rounding 6e-8 each, grown by the pattern's own instability.
    single, double = (
        simulate.limb_bud(4, [10.0, 40.0], GRID, dtype=d) for d in (torch.float32, torch.float64)
    )
    error = (single - double).square().mean((0, 2, 3)).sqrt() / double.square().mean((0, 2, 3)).sqrt()
    assert error.max() < 1e-4


@pytest.mark.slow
def test_default_step_at_the_last_time():
    """The error that the documentation states, at its largest, in float32."""
    usual = simulate.limb_bud(16, [100.0], GRID)
    exact = simulate.limb_bud(16, [100.0], GRID, dtype=torch.float64, step=0.05)
    assert float((usual - exact).square().mean().sqrt() / exact.square().mean().sqrt()) < 1e-3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"samples": 0}, "samples must be 1 or more"),
        ({"seed": -1}, "seed in"),
        ({"times": [101.0]}, r"times must be .* in \[0, 100\]"),
        ({"times": []}, "times must be"),
        ({"positions": [float("nan")]}, r"positions must be .* in \[0, 60\]"),
        ({"positions": [[1.0]]}, "one dimension"),
        ({"knockout": "shh"}, "knockout must be None or one of sox9, bmp, wnt, got 'shh'"),
        ({"rates": "some"}, "rates must be 'zero' or 'random'"),
        ({"step": 0.0}, "step must be positive"),
    ],
)
def test_refuses(arguments, says):
    with pytest.raises(ValueError, match=says):
        simulate.limb_bud(**{"samples": 2, "times": [1.0], "positions": [0.0], **arguments})


@pytest.mark.parametrize(
    ("initial", "rates", "says"),
    [
        (torch.zeros(2, 300, 3), None, "initial must be floats"),
        (torch.zeros(2, 301, 3, dtype=torch.int64), None, "initial must be floats"),
        (torch.zeros(2, 301, 3), torch.zeros(3), r"rates must be \[2, 3\]"),
    ],
)
def test_evolve_refuses(initial, rates, says):
    with pytest.raises(ValueError, match=says):
        simulate.evolve(initial, [1.0], [0.0], rates=rates)


# -- the data set -------------------------------------------------------------------------------------------


def small(**rest):
    return limb_bud(**{"samples": 3, "times": [0.0, 1.0], "positions": 4, **rest})


def test_graphs_of_space_and_time(tmp_path):
    graphs = small(cache=False)
    assert (len(graphs), graphs.uniform, graphs.dim, graphs.features) == (3, 8, 2, 3)
    expected = [[2 * p / 60, t / 100] for t in (0, 1) for p in (0, 20, 40, 60)]
    torch.testing.assert_close(graphs[1].pos, torch.tensor(expected))
    x = simulate.limb_bud(3, [0, 1], [0, 20, 40, 60])
    torch.testing.assert_close(graphs.x.view(3, 2, 4, 3), x, rtol=0, atol=1e-9)


def test_splits_share_nothing():
    train, test = small(cache=False), small(split="test", cache=False)
    # One sample in both would give an equal value; these are continuous.
    assert not (train.x[:, None, 0] == test.x[None, :, 0]).any()


def test_what_is_asked_of_a_split(monkeypatch):
    asked = []

    def callback(samples, times, positions, **rest):
        asked.append((samples, len(times), len(positions)))
        return torch.zeros(samples, len(times), len(positions), 3)

    monkeypatch.setattr(simulate, "limb_bud", callback)
    limb_bud(cache=False)
    limb_bud(split="test", cache=False)
    assert asked == [(10_000, 10, 10), (2_000, 12, 8)]


def test_is_kept_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = small()
    (file,) = (tmp_path / "noisefold").iterdir()

    def never(*_, **__):
        raise AssertionError("simulated again")

    with monkeypatch.context() as patch:
        patch.setattr(simulate, "limb_bud", never)
        found = small()
        assert torch.equal(found.x, made.x)
        assert torch.equal(found.pos, made.pos)
        for other in ({"seed": 1}, {"knockout": "bmp"}, {"times": [0.0, 1.5]}, {"split": "test"}):
            with pytest.raises(AssertionError, match="simulated again"):
                small(**other)
        patch.setattr(simulate, "VERSION", simulate.VERSION + 1)
        with pytest.raises(AssertionError, match="simulated again"):
            small()
    whole = file.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:200] + b"\0" * 200 + whole[400:]):
        file.write_bytes(damaged)
        assert torch.equal(small().x, made.x)
        assert torch.equal(small(cache=tmp_path / "noisefold").x, made.x)
    assert [p.name for p in (tmp_path / "noisefold").iterdir()] == [file.name]


def test_data_of_another_size_in_the_cache_are_made_again(tmp_path):
    made = small(cache=tmp_path)
    (file,) = tmp_path.iterdir()
    np.savez(file, pos=np.zeros((3, 7, 2)), x=np.zeros((3, 7, 3)))
    assert torch.equal(small(cache=tmp_path).x, made.x)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.warns(UserWarning, match="could not be written"):
        graphs = small(cache=tmp_path / "file" / "below")
    assert len(graphs) == 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(cache=False)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"split": "val"}, "split .*'val'"),
        ({"seed": 2**63}, "seed must lie in"),
        ({"times": 1}, "times must be at least 2"),
        ({"positions": [61.0]}, "positions must be"),
        ({"knockout": "shh"}, "knockout .*'shh'"),
    ],
)
def test_data_set_refuses(tmp_path, arguments, says):
    with pytest.raises(ValueError, match=says):
        small(**arguments, cache=tmp_path)
