"""Objects that are their own configuration.

A schedule, a solver or a neighbour rule is a frozen dataclass; a network is a module that remembers the
arguments it was built with. Both become plain dictionaries (and so JSON and YAML) and come back as equal
objects, and nothing but a class that was registered here can ever be built from a file.

A configuration is ``{"kind": "noise.Linear", **arguments}``. The kind is the public path below
``noisefold``: the package of the class, or its module for the public modules named in `_PUBLIC_MODULES`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import functools
import importlib
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_type_hints

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import SchemaError

__version__ = "0.1.0"

__all__ = [
    "RENAMED_PARTS",
    "Config",
    "class_of",
    "configurable",
    "decode",
    "encode",
    "kind_of",
    "modern",
    "register_module",
]

Config = dict[str, Any]
_T = TypeVar("_T", bound=type)
_CLASSES: dict[str, type] = {}
_PUBLIC_MODULES = {
    "noisefold.nn.adaptive": "adaptive",
}
# How the annotation of an argument says that it is a whole number.
_WHOLE = ("int", "int | None", str(int), str(int | None))
# Sizes of networks of which there must be one at least; others may be 0.
_POSITIVE = frozenset(
    {"width", "heads", "hidden", "rungs", "latents", "latent_width", "rounds", "frequencies", "expansion"}
    | {"radial", "pair_width", "kernels", "neighbors", "node_states", "pair_states", "columns", "out_dim"}
)
# Names that earlier formats wrote.
_RENAMED = {
    "nn.Kriged": "nn.KrigingResidual",
    "nn.Routed": "nn.ExpertDenoisers",
    "nn.Effort": "nn.ComputeBudget",
    "noise.Process": "noise.GPNoise",
    "noise.Times": "noise.LevelDistribution",
    **{f"noise.{name}": f"geometry.{name}" for name in ("Nugget", "Scaled", "Stationary", "Sum")},
    "sample.Kinetic": "sample.UnderdampedLangevin",
    "sample.Placed": "sample.LevelGrid",
    "train.Profile": "train.SkillByLevel",
    **{
        f"theory.{name}": f"geometry.{name}"
        for name in ("Exponential", "Matern", "Nested", "Spherical", "SquaredExponential", "Triangular")
    },
}
# Arguments that earlier formats wrote under another name, by today's kind.
_RENAMED_ARGUMENTS = {
    "nn.Latents": {"effort": "compute_budget"},
    "sample.LevelGrid": {"times": "levels"},
    "train.Training": {"times": "levels"},
}
# What a model and a plan called two of their parts up to format 2.
RENAMED_PARTS = {"noised": "variable", "informed": "for_completion"}


def kind_of(cls: type) -> str:
    """Return the public name of a registered class, such as ``"noise.Linear"``."""
    module = f"{cls.__module__}."
    named = (prefix for path, prefix in _PUBLIC_MODULES.items() if module.startswith(f"{path}."))
    return f"{next(named, module.split('.')[1])}.{cls.__name__}"


def configurable(cls: _T) -> _T:
    """Register a frozen dataclass, so that `decode` may build it."""
    if not dataclasses.is_dataclass(cls):
        raise TypeError(f"{cls.__name__} must be a dataclass to be configurable.")
    _CLASSES[kind_of(cls)] = cls
    return cls


def register_module(cls: _T) -> _T:
    """Register an `nn.Module` class and let its instances remember their constructor's arguments.

    The arguments, defaults filled in, are found as ``instance.arguments``.
    """
    initialise: Callable[..., None] = cls.__init__  # type: ignore[misc]
    signature = inspect.signature(initialise)

    @functools.wraps(initialise)
    def remember(self: Any, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if str(signature.parameters[name].annotation) in _WHOLE and value is not None:
                bound.arguments[name] = _size(f"{cls.__name__}.{name}", value, name in _POSITIVE)
        initialise(*bound.args, **bound.kwargs)
        self.arguments = {k: v for k, v in bound.arguments.items() if k != "self"}

    cls.__init__ = remember  # type: ignore[misc]
    _CLASSES[kind_of(cls)] = cls
    return cls


def _size(name: str, value: Any, positive: bool) -> int:
    """Return a size of a network as an int, also where it is one of NumPy or torch."""
    least = 1 if positive else 0
    try:
        number = -1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = -1
    if number < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, got {value!r}.")
    return number


def encode(value: Any) -> Any:
    """Return an object as plain data: numbers, strings, lists and dictionaries.

    Raises
    ------
    ValueError
        If a part of it cannot be written down, such as a function.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [encode(v) for v in value]
    if type(value) in _CLASSES.values():
        if dataclasses.is_dataclass(value):
            arguments = {f.name: getattr(value, f.name) for f in dataclasses.fields(value) if f.init}
        else:
            arguments = value.arguments
        return {"kind": kind_of(type(value)), **{k: encode(v) for k, v in arguments.items()}}
    raise ValueError(
        f"{value!r} cannot be written to a configuration; use a named option or a class of noisefold instead."
    )


def decode(value: Any) -> Any:
    """Build the object that `encode` wrote; plain data pass through, lists become tuples.

    Raises
    ------
    ValueError
        If the kind is unknown, or an argument is not one of its own, of another type or missing.
    """
    if isinstance(value, list):
        return tuple(decode(v) for v in value)
    if not isinstance(value, Mapping):
        return value
    if "kind" not in value:
        return {k: decode(v) for k, v in value.items()}
    value = modern(value)
    arguments = {k: decode(v) for k, v in value.items() if k != "kind"}
    cls = class_of(value["kind"])
    known = inspect.signature(cls).parameters
    hints = get_type_hints(cls if dataclasses.is_dataclass(cls) else getattr(cls, "__init__"))  # noqa: B009
    for name, argument in arguments.items():
        if name not in known:
            raise ValueError(f"{kind_of(cls)} has no argument {name!r}{_nearest(name, known)}")
        _check(f"{kind_of(cls)}.{name}", argument, hints.get(name, Any))
    for name, parameter in known.items():
        if parameter.default is parameter.empty and name not in arguments:
            raise ValueError(f"{kind_of(cls)} needs the argument {name!r}.")
    return cls(**arguments)


def modern(value: Any) -> Any:
    """Return plain data in which kinds and arguments have today's names, whichever earlier ones it has."""
    if isinstance(value, list | tuple):
        return [modern(v) for v in value]
    if not isinstance(value, Mapping):
        return value
    kind = value.get("kind")
    kind = _RENAMED.get(kind, kind) if isinstance(kind, str) else kind
    names = _RENAMED_ARGUMENTS.get(kind, {}) if isinstance(kind, str) else {}
    # Earlier names last: where both stand, the value under today's is only a default.
    items = sorted(value.items(), key=lambda item: item[0] in names)
    now = {names.get(k, k): modern(v) for k, v in items}
    return {**now, "kind": kind} if "kind" in value else now


def class_of(kind: str) -> type:
    """Return the registered class of this public name.

    Raises
    ------
    ValueError
        If there is none.
    """
    if isinstance(kind, str):  # a file may hold anything in its place
        kind = _RENAMED.get(kind, kind)
    if isinstance(kind, str) and kind not in _CLASSES:  # its room may not have been entered yet
        with contextlib.suppress(ImportError):
            importlib.import_module(f"noisefold.{kind.split('.')[0]}")
    if not isinstance(kind, str) or kind not in _CLASSES:
        raise ValueError(f"kind {kind!r} is unknown{_nearest(str(kind), _CLASSES)}")
    return _CLASSES[kind]


def _check(name: str, value: Any, hint: Any) -> None:
    """Check plain values against the type that the class declares; objects check themselves."""
    try:
        adapter = TypeAdapter(hint, config=ConfigDict(arbitrary_types_allowed=True, strict=True))
        adapter.validate_python(value)
    except ValidationError as error:
        problem = error.errors()[0]["msg"]
        raise ValueError(f"{name} is {value!r}: {problem[0].lower()}{problem[1:]}.") from None
    except (PydanticUserError, SchemaError, TypeError):
        # Protocols cannot be checked at run time, but a bare number or word is no object.
        if isinstance(value, bool | int | float | str):
            raise ValueError(f"{name} is {value!r}: it must be an object with a kind.") from None


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known are {', '.join(sorted(known))}."
