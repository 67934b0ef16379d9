"""Configurations: all that is registered goes through dictionaries, JSON and YAML; nothing else is built."""

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil

import numpy as np
import pytest
import torch
import yaml

import noisefold
from noisefold import configuration
from noisefold.configuration import class_of, configurable, decode, encode, kind_of
from noisefold.data.functions import GaussianProcess, Sawtooth
from noisefold.data.images.modality import Pictures
from noisefold.geometry import PairDecoder, neighbor_rules
from noisefold.geometry.scaling import Scaling
from noisefold.nn import DMP, ComputeBudget, Latents, SetTransformer, adaptive
from noisefold.noise import VE, VP, Classes, Cosine, Discrete, Gaussian, Linear, Nugget, Stationary, Target
from noisefold.sample import DDIM, DiscreteFlow, Heun, Langevin
from noisefold.theory import GaussianMixture, Matern

for module in pkgutil.walk_packages(noisefold.__path__, "noisefold."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
CLASSES = dict(configuration._CLASSES)
_KERNEL = Stationary(Matern(0.3, 2.5))
# Classes that cannot be made without arguments.
NEEDED = {
    "adaptive.Stepwise": {"levels_at": (0.3, 0.6), "ranges": (24, 12, 6), "shares": (0.5, 1.0, 1.0)},
    "data.Canvas": {"modality": Pictures("rgb"), "sizes": ((4, 6), (8, 8))},
    "data.GaussianProcess": {"kernel": _KERNEL},
    "data.Mixture": {"parts": (Sawtooth(), GaussianProcess(_KERNEL))},
    "nn.GaussianResidual": {
        "net": DMP(width=8, layers=1, features=1, out_dim=1),
        "columns": 1,
        "nodes": (64,),
    },
    "adaptive.Information": {"log_snr": (-1.5, 1 / 3), "share": (0.5, 0.0), "range": 4},
    "data.RangeByTime": {
        "times": (0.0, 1.5),
        "low": ((-1.0, 0.0), (1 / 3, 2.0)),
        "high": ((1.0, 1.0), (3.0, 4.0)),
    },
    "geometry.DataSummary": {"scaling": Scaling((0.0,), 1.0), "sizes": (3,)},
    "data.SpatialTranscriptomics": {"values": "counts", "time": True, "patch": 40},
    "geometry.Anisotropic": {"kernel": _KERNEL, "lengths": (0.5, math.inf)},
    "geometry.IndependentOutputs": {"kernel": _KERNEL, "outputs": 3},
    "geometry.KNN": {"k": 5},
    "geometry.LatentPositions": {"decoder": PairDecoder((0.5, 1 / 3), 0.1, -2.0), "most": 1 / 3},
    "geometry.LongShort": {"k": 8, "near": 3},
    "geometry.Nested": {"base": Matern(0.3, 2.5), "share": 0.5, "floor": 0.1},
    "geometry.PairDecoder": {"scales": (0.5, 1 / 3), "sociality": 0.1, "bias": -2.0},
    "geometry.Product": {"parts": (_KERNEL, Nugget(0.1))},
    "geometry.Radius": {"r": 0.5, "limit": 4},
    "geometry.Random": {"k": 3, "seed": 7},
    "geometry.Scaled": {"kernel": _KERNEL, "factor": 1 / 3},
    "geometry.Stationary": {"correlation": Matern(0.3, 2.5), "variance": 0.5},
    "geometry.Tangent": {"kernel": Matern(0.3, 2.5), "local": True},
    "geometry.Trend": {"coefficients": ((0.5,), (1 / 3,)), "centre": (0.1,), "length": 2.0},
    "noise.FewSteps": {"steps": 4, "path": Gaussian(VP())},
    "noise.JointPath": {"parts": (Gaussian(), Discrete((1.0,), (0.7, 0.3))), "powers": (2.0, 1.0)},
    "noise.JointPrediction": {"parts": (Target("noise"), Classes()), "weights": (1.0, 0.5)},
    "sample.JointSolver": {"parts": (DDIM(eta=0.25), DiscreteFlow())},
    "nn.DirectedGraphTransformer": {"node_states": 1, "edge_states": 2, "layers": 1},
    "nn.GeometricTransformer": {"node_states": 2, "pair_states": 3, "layers": 1},
    "geometry.Sum": {"parts": (_KERNEL, Nugget(0.1))},
    "data.FolderSplit": {"parts": (("a", "train"), ("b", "test"))},
    "sample.Constrained": {"solver": DiscreteFlow(), "constraint": "tree"},
    "noise.Discrete": {"nodes": (0.25, 0.75), "pairs": (0.5, 0.5), "noise": "uniform"},
    "geometry.Scaling": {"pos_mean": (0.1, -1e300), "pos_scale": 1 / 3, "x_mean": (2.0,), "x_scale": (1e-8,)},
    "nn.ExpertDenoisers": {"nets": (DMP(width=8, layers=1), None), "splits": (0.4,)},
    "nn.GraphTransformer": {"node_states": 1, "pair_states": 3, "layers": 1, "mask_state": True},
    "nn.KrigingResidual": {"net": DMP(width=8, layers=1, features=8, out_dim=2), "columns": 2, "dim": 3},
    "noise.GPNoise": {"kernel": _KERNEL},
    "noise.LevelDistribution": {"edges": (0.1, 1 / 3, 0.9), "weights": (1.0, 1e-3)},
    "sample.Resampled": {"solver": Heun(), "jumps": 2},
    "sample.UnderdampedLangevin": {"predictor": DDIM(eta=0.25), "steps": 2},
    "sample.Langevin": {"predictor": DDIM(eta=0.25), "steps": 2},
    "train.SkillByLevel": {"explained": (-0.01, 1 / 3), "error": (1e-3, 0.0)},
    "theory.GaussianProcess": {"kernel": _KERNEL},
    "theory.GaussianMixture": {
        "weights": (0.25, 0.75),
        "means": ((0.0,), (1.0,)),
        "covariances": (((1.0,),), ((2.0,),)),
    },
}
EVERY = pytest.mark.parametrize("kind", sorted(CLASSES))
OBJECTS = [
    Gaussian(VP(0.2, 15.0), margin=0.01),
    Gaussian(Cosine(0.008)),
    Gaussian(VE()),
    Target("noise", weight="min-snr"),
    Langevin(Langevin(Heun()), steps=3, ratio=0.1),
]


def made(kind: str) -> object:
    return CLASSES[kind](**NEEDED.get(kind, {}))


def same(one: object, two: object) -> bool:
    """Equality; of networks, that of the arguments they were built with."""
    if dataclasses.is_dataclass(one):
        return one == two
    return type(one) is type(two) and all(same_value(v, two.arguments[k]) for k, v in one.arguments.items())


def same_value(one: object, two: object) -> bool:
    if isinstance(one, tuple | list):
        return len(one) == len(two) and all(map(same_value, one, two))
    return same(one, two) if hasattr(one, "arguments") else one == two


@EVERY
def test_every_class_comes_back(kind):
    value = made(kind)
    plain = encode(value)
    assert plain["kind"] == kind
    assert same(decode(plain), value)
    assert same(decode(json.loads(json.dumps(plain))), value)
    assert same(decode(yaml.safe_load(yaml.safe_dump(plain))), value)
    assert encode(decode(plain)) == plain


@EVERY
def test_every_argument_is_written(kind):
    """The dictionary names all the constructor takes, defaults too: a later default changes no old file."""
    assert encode(made(kind)).keys() - {"kind"} == set(inspect.signature(CLASSES[kind]).parameters)


@EVERY
def test_frozen_or_a_network(kind):
    cls = CLASSES[kind]
    if dataclasses.is_dataclass(cls):
        value = made(kind)
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, "anything", 1)  # noqa: B010
        hash(value)
    else:
        assert issubclass(cls, torch.nn.Module)


@EVERY
def test_kinds_are_public_names(kind):
    """``noisefold.<kind>`` is where a user finds the class, and no two classes share a kind."""
    package, name = kind.split(".")
    home = importlib.import_module(
        "noisefold.nn.adaptive" if package == "adaptive" else f"noisefold.{package}"
    )
    assert class_of(kind) is CLASSES[kind]
    assert kind_of(CLASSES[kind]) == kind
    found = getattr(home, name, None)
    assert found in (None, CLASSES[kind])


def test_no_class_hides_another():
    """Two classes of one name in one package would overwrite each other in the registry."""
    seen: dict[str, type] = {}
    for module in pkgutil.walk_packages(noisefold.__path__, "noisefold."):
        if module.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(module.name)).values():
            registered = (
                inspect.isclass(value) and value.__module__ == module.name and kind_of(value) in CLASSES
            )
            if registered and (dataclasses.is_dataclass(value) or issubclass(value, torch.nn.Module)):
                assert seen.setdefault(kind_of(value), value) is value


@pytest.mark.parametrize("value", OBJECTS, ids=repr)
def test_objects_in_objects(value):
    text = yaml.safe_dump(encode(value))
    assert decode(yaml.safe_load(text)) == value
    assert "!!" not in text


def test_a_network_remembers_its_arguments():
    net = DMP(2, width=8, layers=1, adaptive=adaptive.ReLU(), neighbors=neighbor_rules.Full())
    plain = encode(net)
    assert plain["width"] == 8
    assert plain["adaptive"]["kind"] == "adaptive.ReLU"
    again = decode(json.loads(json.dumps(plain)))
    again.load_state_dict(net.state_dict())
    assert encode(again) == plain


def test_plain_data_pass_through():
    value = {"a": [1, 2.5, "x", None, True], "b": {"c": []}}
    assert encode(value) == value
    assert decode(value) == {"a": (1, 2.5, "x", None, True), "b": {"c": ()}}
    assert encode((1, (2, 3))) == [1, [2, 3]]


def test_numbers_keep_every_digit():
    scaling = Scaling((0.1 + 0.2, 1e-310), 2 / 3)
    assert decode(json.loads(json.dumps(encode(scaling)))) == scaling
    assert decode(yaml.safe_load(yaml.safe_dump(encode(scaling)))) == scaling


@pytest.mark.parametrize(
    ("plain", "says"),
    [
        ({"kind": "noise.Liner"}, r"kind 'noise.Liner' is unknown; did you mean 'noise.Linear'\?"),
        ({"kind": "zzz"}, "kind 'zzz' is unknown; known are "),
        (
            {"kind": "noise.VP", "beta_mx": 3.0},
            r"noise.VP has no argument 'beta_mx'; did you mean 'beta_max'\?",
        ),
        ({"kind": "noise.VP", "zzz": 3.0}, "noise.VP has no argument 'zzz'; known are beta_max, beta_min"),
        ({"kind": "noise.Gaussian", "schedule": {"kind": "noise.Cosin"}}, r"did you mean 'noise.Cosine'\?"),
        ({"kind": "noise.VP", "beta_max": "large"}, "noise.VP.beta_max is 'large'"),
        ({"kind": "sample.DDIM", "eta": 3.0}, "eta must lie in .*got 3"),
        ({"kind": "noise.Gaussian", "schedule": 3}, "noise.Gaussian.schedule is 3"),
        ({"kind": "sample.Langevin"}, "sample.Langevin needs the argument 'predictor'"),
        ({"kind": "geometry.Scaling", "pos_scale": 1.0}, "geometry.Scaling needs the argument 'pos_mean'"),
        ({"kind": ["noise.VP"]}, "kind .* is unknown"),
        ({"kind": None}, "kind None is unknown"),
    ],
)
def test_says_what_is_wrong_in_one_sentence(plain, says):
    with pytest.raises(ValueError, match=says) as caught:
        decode(plain)
    message = str(caught.value)
    assert "\n" not in message
    assert message[-1] in ".?"


@pytest.mark.parametrize(
    "kind",
    ["os.system", "builtins.eval", "torch.nn.Linear", "noisefold.noise.Linear", "noise.schedule.Linear"],
)
def test_builds_nothing_that_is_not_registered(kind):
    with pytest.raises(ValueError, match="is unknown"):
        decode({"kind": kind})


@pytest.mark.parametrize(
    "value",
    [lambda x: x, print, object(), torch.zeros(2), {1, 2}, Linear, 1j, [Linear(), {"a": len}]],
    ids=["lambda", "builtin", "object", "tensor", "set", "class", "complex", "inside"],
)
def test_refuses_what_cannot_be_written(value):
    with pytest.raises(ValueError, match="cannot be written to a configuration; use a named option"):
        encode(value)


def test_refuses_a_network_with_a_function():
    def conv(width: int) -> torch.nn.Module:
        return torch.nn.Linear(width, width)

    with pytest.raises(ValueError, match="cannot be written to a configuration"):
        encode(DMP(2, width=8, layers=1, conv=conv))


def test_only_dataclasses_are_configurable():
    with pytest.raises(TypeError, match="Plain must be a dataclass"):

        @configurable
        class Plain:
            pass


def test_the_mixture_is_itself_again():
    law = GaussianMixture.gaussian(torch.tensor([1.0, 2.0]), torch.eye(2))
    assert decode(encode(law)) == law


def test_arguments_of_earlier_formats_are_read():
    budget = {"kind": "nn.Effort", "splits": [0.4], "depth": [0.5, 1.0]}
    written = {
        "kind": "nn.Latents",
        "width": 8,
        "latents": 4,
        "latent_width": 8,
        "heads": 2,
        "effort": budget,
    }
    net = decode(written)
    assert net.compute_budget == ComputeBudget((0.4,), depth=(0.5, 1.0))
    # A file that changes today's configuration by the old name adds to it what is only a default.
    assert decode({**encode(Latents()), "effort": budget}).compute_budget == net.compute_budget
    assert "effort" not in encode(net)
    for kind, renamed in configuration._RENAMED_ARGUMENTS.items():
        known = inspect.signature(CLASSES[kind]).parameters
        assert not renamed.keys() & known.keys()
        assert set(renamed.values()) <= known.keys()


@pytest.mark.parametrize("bad", [-4, 0, 2.5, "16", True])
@pytest.mark.parametrize("name", ["width", "heads", "expansion"])
def test_sizes_of_networks_are_checked(name, bad):
    with pytest.raises(ValueError, match=rf"SetTransformer\.{name} .*{bad}"):
        SetTransformer(2, **{name: bad})


def test_sizes_of_numpy_are_remembered_as_plain_numbers():
    net = SetTransformer(2, width=np.int64(8), blocks=np.int8(1))
    assert type(net.arguments["width"]) is int
    assert encode(net) == encode(SetTransformer(2, width=8, blocks=1))
