"""Today's numbers, held while the code around them moves.

With ``--exact`` every number must agree in every bit, as it does on the machine that recorded them. Without
it a thousandth of a case's size is allowed: another CPU adds in another order, and the first steps of Adam
divide gradients by their own size.
"""

import numpy as np
import pytest
import torch

from golden.cases import CASES, FILE

RECORDED = np.load(FILE)


@pytest.mark.parametrize("name", CASES)
def test_numbers_are_those_recorded(name, request):
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = CASES[name]()
    finally:
        torch.set_num_threads(before)
    recorded = {k.removeprefix(f"{name}/"): RECORDED[k] for k in RECORDED.files if k.startswith(f"{name}/")}
    assert found.keys() == recorded.keys()
    for key, value in recorded.items():
        scale = float(np.nanmax(np.abs(value), initial=0.0))
        allowed = 0.0 if request.config.getoption("--exact") else 1e-3 * scale
        np.testing.assert_allclose(found[key], value, rtol=0, atol=allowed, err_msg=key)
