"""Options of sampling: numbers and arrays of any library, words in any case, or one sentence."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from noisefold.configuration import decode, encode
from noisefold.geometry.graphs import Graphs
from noisefold.model import Model
from noisefold.nn.latents import Latents
from noisefold.noise.known import observed_entries
from noisefold.noise.source import derive_seed
from noisefold.sample import Constrained, DiscreteFlow, Sampling
from noisefold.sample.frames import labels_of, sizes_of


def test_numbers_of_numpy_and_words_in_any_case() -> None:
    how = Sampling(
        steps=np.int64(3), batch=2.0, seed=np.uint8(5), guidance=np.float32(2), precision="BFLOAT16",
        device=torch.device("cpu"),
    )  # fmt: skip
    assert how == Sampling(steps=3, batch=2, seed=5, guidance=2.0, precision="bfloat16", device="cpu")
    assert type(how.steps) is type(how.seed) is int
    assert decode(encode(how)) == how
    assert Constrained(DiscreteFlow(), "TREE") == Constrained(DiscreteFlow(), "tree")


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("steps", True), ("batch", None), ("batch", "2"), ("seed", "a"), ("seed", 0.5),
     ("guidance", float("nan")), ("precision", "half"), ("device", "gpu"), ("solver", "heun"),
     ("grid", "cosine")],
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name}"):
        Sampling(**{name: value})


def test_a_seed_of_numpy_is_the_same_seed() -> None:
    assert derive_seed(np.int64(3), np.int32(7)) == derive_seed(3, 7)


@pytest.mark.parametrize("make", [list, tuple, np.array, torch.tensor])
def test_sizes_and_classes_in_any_sequence(make: Any) -> None:
    assert sizes_of(range(3), make([5, 6]), (), 0) == [5, 6, 5]
    assert labels_of(make([1, 0]), 3, ("a", "b"), (), 0).tolist() == [1, 0, 1]


def test_classes_by_name_in_any_case() -> None:
    assert labels_of(np.array(["B", "a"]), 2, ("a", "b"), (), 0).tolist() == [1, 0]
    assert labels_of(np.int64(1), 2, ("a", "b"), (), 0).tolist() == [1, 1]
    for bad in ("c", 1.5, 2, []):
        with pytest.raises(ValueError, match=r"class|entry"):
            labels_of(bad, 2, ("a", "b"), (), 0)  # type: ignore[arg-type]


def test_masks_of_numpy_and_lists() -> None:
    mask, value = torch.tensor([True, False, True]), torch.zeros(3, 2)
    for known in (mask, mask.numpy(), mask.tolist()):
        assert observed_entries(known, value).tolist() == [[True] * 2, [False] * 2, [True] * 2]
    for bad in (None, "x", [0, 1, 2], [[True], [True, False]]):
        with pytest.raises(ValueError, match="known"):
            observed_entries(bad, value)  # type: ignore[arg-type]


def test_a_mask_of_numpy_is_matched_by_name() -> None:
    """Columns of a mask follow those of the data, which the model takes in its own order."""
    torch.manual_seed(0)
    model = Model(
        Latents(pos_dim=2, features=2, out_dim=2, width=8, latents=2, latent_width=8, heads=1, blocks=1),
        variable="x",
    )
    data = Graphs.dense(torch.rand(4, 5, 2), torch.rand(4, 5, 2)).replace(feature_names=("a", "b"))
    model.fit(data, steps=1)
    asked = data[:1].replace(x=data[:1].x.flip(1), feature_names=("b", "a"))
    known = torch.zeros(5, 2, dtype=torch.bool)
    known[:, 0] = True  # "b"
    first, second = (model.complete(asked, m, draws=2, steps=1) for m in (known, known.numpy()))
    torch.testing.assert_close(first.values, second.values)
    assert torch.equal(second.draws[0].with_features(("b",)).x, asked.x[:, :1])
