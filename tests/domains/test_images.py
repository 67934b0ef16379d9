"""Images as a domain: one recipe for all ways in, samples on their lattice, and files out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

import noisefold as nf
from noisefold.cli import app
from noisefold.domains import Images, Request, domain_of
from noisefold.geometry import Scaling
from noisefold.nn import DiT, GaussianResidual

TINY = {"width": 16, "blocks": 1}
RNG = np.random.default_rng(0)


def command(*words: object) -> str:
    done = CliRunner().invoke(app, [str(w) for w in words])
    assert done.exit_code == 0, done.output
    return done.output


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two steps of training."""
    folder = tmp_path_factory.mktemp("images") / "run"
    model = nf.Model.for_data(nf.data.digits()[:300], **TINY)
    model.fit(nf.data.digits()[:300], steps=2, batch=8, device="cpu", warmup=1)
    model.save_pretrained(folder)
    return folder


def test_the_domain_and_its_recipe() -> None:
    digits = nf.data.digits()
    assert isinstance(domain_of(digits), Images)
    assert not Images().fits(digits.replace(modality=None), None)
    net = nf.Model.for_data(digits, for_completion=True).net
    assert isinstance(net, GaussianResidual)
    assert isinstance(net.net, DiT)
    scaling = domain_of(digits).recipe(digits, Request()).summary.scaling
    assert scaling.pos_scale == 1
    assert scaling.x_mean[0] == pytest.approx(float(digits.x.double().mean()), rel=1e-9)
    assert scaling.x_scale[0] == pytest.approx(float(digits.x.double().std(correction=0)), rel=1e-9)
    floats = nf.Graphs.collate([digits[:300]]).replace(x=digits[:300].x)
    again = domain_of(floats).recipe(floats, Request()).summary.scaling
    assert again.x_scale[0] == pytest.approx(float(digits[:300].x.double().std(correction=0)), rel=1e-9)


@pytest.mark.parametrize(("side", "patch"), [(8, 2), (28, 4), (32, 4), (64, 8), (1, 2)])
def test_patches_by_size(side: int, patch: int) -> None:
    few = nf.data.pictures(RNG.integers(0, 256, (3, side, side, 3), dtype=np.uint8))
    net = nf.Model.for_data(few).net
    assert isinstance(net, DiT)  # a Gaussian of three images were none
    assert net.patches.sizes == (patch,)


def test_images_of_several_sizes() -> None:
    mixed = nf.data.pictures([RNG.integers(0, 256, (h, w), dtype=np.uint8) for h, w in 5 * [(6, 4), (3, 5)]])
    model = nf.Model.for_data(mixed, **TINY)
    model.fit(mixed, steps=2, batch=4, device="cpu", warmup=1)
    made = model.sample(6, steps=2)
    assert set(made.sizes.tolist()) == {24, 15}
    larger = nf.data.pictures(np.zeros((1, 7, 9), np.uint8))
    assert model.sample(1, steps=2, like=larger).num_nodes == 63
    with pytest.raises(ValueError, match="nodes"):
        model.sample(1, nodes=24)


def test_command_line_library_and_configuration_agree(tmp_path: Path) -> None:
    data = nf.data.digits()[:60]
    nf.save(data, tmp_path / "pictures")
    options = [word for k, v in TINY.items() for word in ("-o", f"net.{k}={v}")]
    how = [tmp_path / "pictures", "--size", 6, "--steps", 2, "-o", "training.device=cpu", *options]
    command("train", *how, "--out", tmp_path / "run")
    train, test = nf.load(tmp_path / "pictures", size=6).split(0.9, seed=0)
    model = nf.Model.for_data(train, **TINY).fit(train, val=test, steps=2, device="cpu")
    other = nf.Model.from_pretrained(tmp_path / "run")
    assert other.config() == model.config()
    for name, value in model.net.state_dict().items():
        assert torch.equal(value, other.net.state_dict()[name]), name
    assert nf.runs.Run(tmp_path / "run").source().size == 6
    assert torch.equal(nf.runs.Run(tmp_path / "run").data()[0].x, train.x)


def test_samples_as_a_grid_a_folder_and_an_archive(run: Path, tmp_path: Path) -> None:
    model = nf.Model.from_pretrained(run)
    made = model.sample(5, steps=2, labels=["3", "7"], seed=1)
    expected = made.x.clamp(0, 255).round().view(5, 8, 8)
    how = ["-n", 5, "--steps", 2, "--label", "3,7", "--seed", 1]
    for out in ("grid.png", "many", "a.npz"):
        command("sample", run, "--out", tmp_path / out, *how)
    arrays = np.load(tmp_path / "a.npz")
    assert arrays["arr_0"].dtype == np.uint8
    np.testing.assert_array_equal(arrays["arr_0"][..., 0], expected)
    assert arrays["labels"].tolist() == [3, 7, 3, 7, 3]
    one = np.asarray(Image.open(tmp_path / "many" / "7" / "0003.png"))
    np.testing.assert_array_equal(one, expected[3])
    grid = np.asarray(Image.open(tmp_path / "grid.png"))
    assert grid.shape == (2 * 50 + 2, 3 * 50 + 2)
    np.testing.assert_array_equal(grid[52:100:6, 2:50:6], expected[3])


def test_deep_and_coloured_images_out(tmp_path: Path) -> None:
    deep = RNG.integers(0, 65536, (2, 4, 5)).astype(np.uint16)
    nf.save(nf.data.pictures(deep), tmp_path / "deep")
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "deep" / "0001.png")), deep[1])
    color = nf.data.pictures(RNG.integers(0, 256, (2, 4, 5, 3), dtype=np.uint8))
    shifted = color.replace(x=torch.where(color.x > 128, color.x + 0.49, color.x - 0.49) * 1.001)
    nf.save(shifted[0], tmp_path / "a.png")
    assert (nf.load(tmp_path / "a.png").x - color[0].x).abs().max() <= 1
    with pytest.raises(ValueError, match=r"a\.npz: .*one size"):
        nf.save(
            nf.data.pictures([np.zeros((2, 2), np.uint8), np.zeros((3, 2), np.uint8)]), tmp_path / "a.npz"
        )
    with pytest.raises(ValueError, match=r"b\.png: x"):
        nf.save(color.replace(x=color.x * torch.nan), tmp_path / "b.png")
    with pytest.raises(ValueError, match="png"):
        nf.save(nf.data.shapes(1, points=8), tmp_path / "c.png")
    with pytest.raises(FileExistsError, match="deep"):
        nf.save(color, tmp_path / "deep")


# -- completion ---------------------------------------------------------------------------------------------


def test_masks() -> None:
    images = nf.data.pictures([np.arange(12).reshape(3, 4).astype(np.uint8), np.zeros((2, 5), np.uint8)])
    box = nf.data.known_outside(images, (1, 2), (0, 2))
    assert (~box).nonzero()[:, 0].tolist() == [4, 5, 12 + 5, 12 + 6]
    wide, known = nf.data.with_margin(images, 1)
    assert wide.sizes.tolist() == [30, 28]
    assert torch.equal(wide.x[known], images.x)
    assert torch.equal(wide.pos[known][:12], images.pos[:12] + 1)
    assert bool(wide.x[~known].isnan().all())
    large, known = nf.data.enlarged(images, 3)
    assert torch.equal(large.x[known], images.x)
    assert torch.equal(large.pos[known][:12], 3 * images.pos[:12] + 1)
    color = nf.data.pictures(np.zeros((2, 2, 2, 3), np.uint8))
    assert nf.data.known_channels(color, ["green"]).sum(0).tolist() == [0, 8, 0]
    mask = np.eye(2, dtype=bool)
    assert nf.data.known_pixels(color, mask).tolist() == 2 * [True, False, False, True]
    shuffled = color[0].replace(pos=color[0].pos.flip(0), x=color[0].x)
    corner = np.array([[True, False], [False, False]])
    assert nf.data.known_pixels(shuffled, corner).tolist() == [False, False, False, True]
    for call in (
        lambda: nf.data.known_pixels(color, np.ones((3, 2))),
        lambda: nf.data.known_outside(color, (5, 6), (0, 2)),
        lambda: nf.data.known_channels(color, ["gren"]),
        lambda: nf.data.with_margin(color, 0),
        lambda: nf.data.enlarged(color, 1),
    ):
        with pytest.raises(ValueError, match=r"mask|rows|names|margin|factor"):
            call()


def test_masked_pictures_are_completed(run: Path, tmp_path: Path) -> None:
    image = nf.data.digits()[0].x.view(8, 8).numpy().astype(np.uint8)
    alpha = np.full((8, 8), 255, dtype=np.uint8)
    alpha[2:5, 1:6] = 0
    Image.fromarray(np.dstack([image, image, image, alpha])).save(tmp_path / "masked.png")
    Image.fromarray(image).save(tmp_path / "plain.png")
    Image.fromarray(255 - alpha).save(tmp_path / "mask.png")
    how = ["--draws", 2, "--steps", 2]
    command("complete", run, tmp_path / "masked.png", "--out", tmp_path / "a", *how)
    command(
        "complete",
        run,
        tmp_path / "plain.png",
        "--mask",
        tmp_path / "mask.png",
        "--out",
        tmp_path / "b",
        *how,
    )
    hidden = alpha == 0
    for name in ("mean", "std", "draw_000", "draw_001"):
        one, other = (np.asarray(Image.open(tmp_path / out / f"{name}.png")) for out in "ab")
        assert np.abs(one.astype(int) - other).max() <= 1, name  # grey of RGB is a weighted sum
        np.testing.assert_allclose(one[~hidden], 0 if name == "std" else image[~hidden], atol=1)
    draws = [np.asarray(Image.open(tmp_path / "b" / f"draw_00{j}.png")).astype(float) for j in range(2)]
    mean, std = (np.asarray(Image.open(tmp_path / "b" / f"{n}.png")) for n in ("mean", "std"))
    inside = hidden & (np.minimum(*draws) > 0) & (np.maximum(*draws) < 255)
    assert inside.any()
    np.testing.assert_allclose(mean[inside], np.mean(draws, 0)[inside], atol=1.01)
    np.testing.assert_allclose(std[inside], np.std(draws, 0, ddof=1)[inside], atol=1.51)
    command("complete", run, tmp_path / "masked.png", "--out", tmp_path / "c.npz", *how)
    assert np.load(tmp_path / "c.npz")["arr_0"].shape == (2, 8, 8, 1)
    command("complete", run, tmp_path / "masked.png", "--out", tmp_path / "c.png", *how)
    assert np.asarray(Image.open(tmp_path / "c.png")).shape == (52, 5 * 50 + 2)
    for words in (
        ["complete", run, tmp_path / "plain.png", "--out", tmp_path / "d.png"],
        ["complete", run, tmp_path / "plain.png", "--mask", tmp_path / "c.png", "--out", tmp_path / "d.png"],
    ):
        assert CliRunner().invoke(app, [str(w) for w in words]).exit_code == 2


def test_class_and_guidance_from_the_command_line(run: Path, tmp_path: Path) -> None:
    how = ["-n", 2, "--steps", 3, "--label", "3", "--guidance", 3]
    command("sample", run, "--out", tmp_path / "a.npz", *how)
    command("sample", run, "--out", tmp_path / "b.npz", *how, "--guidance-interval=-50:50")
    command("sample", run, "--out", tmp_path / "c.npz", *how, "--guidance-interval", "40:50")
    command("sample", run, "--out", tmp_path / "d.npz", *how[:-2])
    made = {name: np.load(tmp_path / f"{name}.npz")["arr_0"] for name in "abcd"}
    np.testing.assert_array_equal(made["a"], made["b"])
    np.testing.assert_array_equal(made["c"], made["d"])
    assert (made["a"] != made["c"]).any()


# -- likelihood ---------------------------------------------------------------------------------------------


class Zero(torch.nn.Module):
    """With a residual target: the exact denoiser of independent normal values."""

    def forward(
        self, graphs: nf.Graphs, log_snr: torch.Tensor, label: torch.Tensor | None = None
    ) -> torch.Tensor:
        return 0.0 * graphs.x


@pytest.mark.parametrize(("bits", "spread"), [(8, 20.0), (16, 1.0)])
def test_bits_per_dimension_of_normal_values(bits: int, spread: float) -> None:
    """The entropy of rounded normal values, log2(s sqrt(2 pi e) / w) with cells of width w, to rounding."""
    level = nf.data.Pictures("grey", bits).level
    drawn = 120 + spread * torch.randn(16, 8, 8, generator=torch.Generator().manual_seed(0))
    images = nf.data.pictures((drawn / level).round().mul(level).clamp(0, 255).numpy())
    images = images.replace(modality=nf.data.Pictures("grey", bits))
    summary = nf.geometry.DataSummary.of(images, Scaling((0.0, 0.0), 1.0, (120.0,), (spread,)))
    model = nf.Model(Zero(), variable="x", summary=summary)
    found = model.log_prob(images, method=nf.sample.ProbabilityFlow(steps=20, log_snr=(25.0, -25.0)), seed=3)
    expected = math.log2(spread * math.sqrt(2 * math.pi * math.e) / level)
    # Standard error of the mean of 1,024 terms of standard deviation 1 / (sqrt(2) ln 2).
    error = 1 / math.sqrt(2 * 1024) / math.log(2)
    assert float(found.bits_per_dimension.mean()) == pytest.approx(expected, abs=4 * error)

    # Given the noise in the cells, each value is the density of the normal distribution to its last digits.
    spread_out, cell = Images().dequantised(images, 3)
    assert cell == pytest.approx(math.log(level))
    inside = (spread_out.x - images.x) / level
    assert -0.5 <= float(inside.min()) < -0.45
    assert 0.45 < float(inside.max()) <= 0.501
    normal = torch.distributions.Normal(120.0, spread).log_prob(spread_out.x.double()).view(16, -1).sum(1)
    torch.testing.assert_close(found.value, normal + 64 * cell, rtol=1e-3, atol=0.05)
    assert torch.equal(Images().dequantised(images[:3], 3)[0].x, spread_out[:3].x)
