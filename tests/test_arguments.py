"""Numbers of any library and words in any case; everything else is refused by name."""

import re

import numpy as np
import pytest
import torch

from noisefold.arguments import device_name, one_of, real, seed_of, whole


@pytest.mark.parametrize(
    "value",
    [3, 3.0, np.int8(3), np.uint64(3), np.float32(3), np.array(3), torch.tensor(3), torch.tensor(3.0)],
)
def test_whole_numbers_of_any_library(value):
    number = whole("points", value, least=2, below=4)
    assert number == 3
    assert type(number) is int
    assert type(real("share", value)) is float


@pytest.mark.parametrize(
    "value",
    [True, np.True_, torch.tensor(True), "3", b"3", 2.5, float("nan"), None, [3], np.array([3]), 1j, 1, 4],
)
def test_not_a_whole_number_in_range(value):
    with pytest.raises(ValueError, match=r"^points .*" + re.escape(repr(value))):
        whole("points", value, least=2, below=4)


@pytest.mark.parametrize("value", [True, "0.5", float("inf"), None, -0.1, 1.1, np.array([0.5])])
def test_not_a_real_number_in_range(value):
    with pytest.raises(ValueError, match=r"^share .*" + re.escape(repr(value))):
        real("share", value, least=0, most=1)


def test_large_integers_keep_every_digit():
    assert seed_of(np.uint64(2**63 - 1)) == 2**63 - 1
    with pytest.raises(ValueError, match=r"^seed"):
        seed_of(np.uint64(2**63))


def test_words_in_any_case():
    assert one_of("normalize", "UNIT", ("unit", "none")) == "unit"
    assert one_of("class", "a", ("a", "A")) == "a"
    with pytest.raises(ValueError, match="'unit'"):
        one_of("normalize", "unti", ("unit",))
    with pytest.raises(ValueError, match="normalize is 3"):
        one_of("normalize", 3, ("unit",))
    with pytest.raises(ValueError, match="class is 'B'"):
        one_of("class", "B", ("a", "A"))


@pytest.mark.parametrize("name", ["AUTO", "cuda:1", "Cuda:1", " cpu", torch.device("cuda", 1)])
def test_devices_in_any_case(name):
    assert device_name(name) in ("auto", "cpu", "cuda:1")


@pytest.mark.parametrize("name", ["gpu", 0, None, "cuda:x", ""])
def test_what_is_no_device_is_named(name):
    with pytest.raises(ValueError, match="device"):
        device_name(name)
