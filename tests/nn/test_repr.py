"""Networks and layers show their columns as ``in -> out``."""

import pytest
from torch import nn

from noisefold.nn import DMP, ExpertDenoisers, GraphTransformer, Latents, SetTransformer
from noisefold.nn.adaptive import Learned
from noisefold.nn.attention import Attention, RelativePosition, Transformer
from noisefold.nn.blocks import Fourier, Modulation
from noisefold.nn.dmp.layers import Gate, Lift
from noisefold.nn.dmp.message import Message
from noisefold.nn.graph_transformer.layer import GraphLayer
from noisefold.nn.norms import MLP, Norm

SHOWN = [
    (Latents(width=8, latents=4, latent_width=8, heads=2), "3 -> 3"),
    (Latents(2, 3, 5, width=8, latents=4, latent_width=8, heads=2), "2 + 3 -> 5"),
    (SetTransformer(2, 3, 3, width=8, blocks=1, heads=2), "2 + 3 -> 3"),
    (DMP(width=8, layers=1), "3 -> 3"),
    (DMP(2, 1, 4, width=8, layers=1), "2 + 1 -> 4"),
    (ExpertDenoisers((None, DMP(width=8, layers=1)), (0.5,), out_dim=3), "-> 3"),
    (GraphTransformer(1, 2, width=8, layers=1), "1, 2 -> 1, 2"),
    (GraphTransformer(4, 5, 1, width=8, layers=1), "4 + 1, 5 -> 4, 5"),
    (GraphLayer(8, 4, 2), "8, 4 -> 8, 4"),
    (Attention(8, 6, heads=2), "8, 6 -> 8"),
    (RelativePosition(3, 2, 4, 8), "3 -> 2 x 4"),
    (Transformer(8, 4, 2), "8 -> 8"),
    (Modulation(8, 4), "8 -> 8"),
    (Fourier(3, 5, 1.0, 2.0), "3 -> 33"),
    (MLP((3, 8, 2)), "3 -> 8 -> 2"),
    (Norm("layer", 8), "8 -> 8"),
    (Lift(5, 2, MLP((7, 8, 4))), "5, 2 -> 4"),
    (Gate(8), "8, 8 -> 8"),
    (Message(8, 3), "8, 8, 3 -> 8"),
]


@pytest.mark.parametrize(("module", "columns"), SHOWN, ids=lambda v: type(v).__name__)
def test_columns_in_and_out(module: nn.Module, columns: str) -> None:
    assert columns in module.extra_repr()
    assert module.extra_repr() in repr(module)


def test_a_learned_schedule_shows_its_arguments() -> None:
    assert "rungs=5" in repr(Learned(rungs=5))
