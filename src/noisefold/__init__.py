"""Generate geometric graphs by diffusion and flow matching, with networks whose graph follows the noise."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from noisefold.configuration import __version__

if TYPE_CHECKING:
    from noisefold import (
        data,
        domains,
        eval,
        geometry,
        nn,
        noise,
        report,
        runs,
        sample,
        testing,
        theory,
        train,
    )
    from noisefold.data import load, save
    from noisefold.geometry import Graphs
    from noisefold.model import Model
    from noisefold.nn import adaptive
    from noisefold.train import Training

__all__ = [
    "Graphs",
    "Model",
    "Training",
    "__version__",
    "adaptive",
    "data",
    "distill",
    "domains",
    "eval",
    "geometry",
    "load",
    "nn",
    "noise",
    "outlook",
    "report",
    "runs",
    "sample",
    "save",
    "testing",
    "theory",
    "train",
]
# Rooms are entered when they are asked for, so that what a program does not use costs it nothing.
_HOME = {
    "Graphs": "geometry",
    "Model": "model",
    "Training": "train",
    "adaptive": "nn",
    "distill": "distillation",
    "load": "data",
    "save": "data",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'noisefold' has no attribute {name!r}")
    if name not in _HOME:
        return importlib.import_module(f"noisefold.{name}")
    value = getattr(importlib.import_module(f"noisefold.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
