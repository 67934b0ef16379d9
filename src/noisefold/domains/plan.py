"""Plans: a model and a training, from a data set and what the user wants otherwise.

A plan is plain data with the parts ``net``, ``path``, ``target``, ``variable``, ``for_completion`` and
``training``. A user's YAML holds any part of it; ``net.width=128`` changes one entry. A part that names
another ``kind`` starts from that class' own defaults.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from noisefold.configuration import RENAMED_PARTS, Config, class_of, modern

__all__ = ["KRIGING", "PARTS", "from_options", "kind_in", "override", "read_plan", "summarised"]

PARTS = ("net", "path", "target", "variable", "for_completion", "training")
"""Parts of a plan."""
KRIGING = "nn.KrigingResidual"
"""The kind of the network for few data."""


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as the number it is in YAML 1.2; YAML 1.1 takes it for a word."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def read_plan(path: Path) -> Config:
    """A plan, or part of one, from YAML.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If it is not YAML, or holds something that is no part of a plan.
    """
    try:
        plan = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not YAML: {str(error).splitlines()[0]}.") from error
    if not isinstance(plan, dict):
        raise ValueError(f"{path} must hold a mapping with any of {', '.join(PARTS)}.")
    plan = modern({RENAMED_PARTS.get(k, k): v for k, v in plan.items()})
    unknown = [k for k in plan if k not in (*PARTS, "noisefold", "data")]
    if unknown:
        raise ValueError(f"{path} has {unknown[0]!r}; a plan has {', '.join(PARTS)}.")
    return {k: v for k, v in plan.items() if k in PARTS}


def override(plan: Config, changes: Mapping[str, Any]) -> Config:
    """A plan with some parts changed; nested mappings are merged."""
    merged = dict(plan)
    for key, value in changes.items():
        old = merged.get(key)
        if (
            isinstance(value, Mapping)
            and isinstance(old, Mapping)
            and value.get("kind", old.get("kind")) == old.get("kind", value.get("kind"))
        ):
            merged[key] = override(dict(old), value)
        elif key == "net" and isinstance(value, Mapping) and isinstance(old, Mapping):
            merged[key] = _net_for(dict(value), old)
        else:
            merged[key] = value
    return merged


def _net_for(net: Config, fitted: Mapping[str, Any]) -> Config:
    """Another network, with the dimensions that were read off the data."""
    known = inspect.signature(class_of(net["kind"])).parameters
    named = ("pos_dim", "features", "out_dim", "classes")
    dimensions = {k: fitted[k] for k in named if k in known and k in fitted}
    return {**dimensions, **net}


def from_options(options: Sequence[str]) -> Config:
    """Changes from ``a.b.c=value`` options; values are read as YAML.

    Raises
    ------
    ValueError
        If an option has another form.
    """
    changes: Config = {}
    for option in options:
        name, equals, text = option.partition("=")
        keys = name.split(".")
        if not equals or not all(keys):
            raise ValueError(f"option {option!r} must have the form net.width=128.")
        if keys[0] not in PARTS:
            close = difflib.get_close_matches(keys[0], PARTS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(PARTS)}."
            raise ValueError(f"option {option!r} names an unknown part; {hint}")
        at = changes
        for key in keys[:-1]:
            at = at.setdefault(key, {})
        at[keys[-1]] = yaml.load(text, _Loader)
    return changes


def kind_in(changes: Sequence[Mapping[str, Any]]) -> str | None:
    """The kind of network that changes ask for, the last word counting; None if they leave it as it is."""
    nets = [change["net"] for change in changes if isinstance(change.get("net"), Mapping)]
    return next((net["kind"] for net in reversed(nets) if "kind" in net), None)


def summarised(plan: Config) -> str:
    """Return network and training of a plan, in words."""
    net, training = plan["net"], plan["training"]
    told = f"{training['steps']} steps of {training['batch']} graphs, learning rate {training['lr']:g}"
    if net["kind"] != KRIGING:
        return f"network: {net['kind']}; {told}"
    return (
        f"network: {KRIGING}, which begins with kriging and regression, measured first, around a "
        f"{net['net']['kind']} (-o net.kind={net['net']['kind']} for that alone); {told}"
    )
