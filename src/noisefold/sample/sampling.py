"""How samples are drawn, as one object."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, TypedDict

import torch
from torch import Tensor

from noisefold.arguments import device_name, one_of, real, whole
from noisefold.configuration import configurable
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.constraint import constrained
from noisefold.sample.defaults import default_grid, default_steps, solver_for
from noisefold.sample.grid import Grid
from noisefold.sample.solver import Solver

__all__ = ["Sampling", "SamplingOptions"]

_PRECISIONS = ("float32", "bfloat16")


class SamplingOptions(TypedDict, total=False):
    """The fields of `Sampling` as keywords."""

    steps: int | None
    solver: Solver | None
    grid: Grid | None
    guidance: float
    guidance_interval: tuple[float, float] | None
    constraint: str | None
    precision: str
    seed: int
    batch: int
    device: str | torch.device | None


@configurable
@dataclass(frozen=True)
class Sampling:
    """How samples are drawn.

    Parameters
    ----------
    steps
        Steps of the solver; None takes 50 for samples and 20 for completions.
    solver, grid
        Solver and time grid; None takes those that fit the model (`noisefold.sample.default_solver`,
        `noisefold.sample.default_grid`).
    guidance
        Weight of classifier-free guidance; 1 is none.
    guidance_interval
        Least and largest log-SNR at which the guidance counts, as of `noisefold.sample.Guided`; None: at all.
    constraint
        Of discrete graphs: "tree", "connected", "planar", "valence" or "molecule", a property that every
        sample is made to have in the last step (`noisefold.sample.Constrained`); None leaves it to the
        network.
    precision
        "float32", or "bfloat16": the matrix products of the network in half of the bits, faster on most
        devices.
    seed
        Sample i is a function of (seed, i) alone, up to rounding.
    batch
        Graphs at a time; only speed and memory depend on it.
    device
        Where the network works, such as "cuda:1"; None leaves it where it is. Samples and completions lie
        where the given graphs do, or else on the CPU.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    steps: int | None = None
    solver: Solver | None = None
    grid: Grid | None = None
    guidance: float = 1.0
    guidance_interval: tuple[float, float] | None = None
    constraint: str | None = None
    precision: str = "float32"
    seed: int = 0
    batch: int = 64
    device: str | None = None

    def __post_init__(self) -> None:
        for name in ("steps", "batch"):
            value = getattr(self, name)
            if not (name == "steps" and value is None):
                self._set(name, whole(name, value, least=1))
        self._set("seed", whole("seed", self.seed))
        self._set("guidance", real("guidance", self.guidance))
        self._set("precision", one_of("precision", self.precision, _PRECISIONS))
        if self.device is not None:
            self._set("device", device_name(self.device))
        for name, kind in (("solver", Solver), ("grid", Grid)):
            if isinstance(getattr(self, name), str):
                raise ValueError(
                    f"{name} must be a {kind.__name__} of noisefold.sample, got {getattr(self, name)!r}."
                )
        ends = self.guidance_interval
        if ends is not None and not (len(ends) == 2 and ends[0] < ends[1]):
            raise ValueError(f"guidance_interval must be a rising pair of log-SNR, got {ends!r}.")

    def _set(self, name: str, value: object) -> None:
        """Put a plain value in the place of one of NumPy or torch, so that it can be written down."""
        object.__setattr__(self, name, value)

    def changed(self, options: SamplingOptions) -> Sampling:
        """Return the same with some fields changed.

        Raises
        ------
        ValueError
            If a name is none of the fields.
        """
        known = {f.name for f in fields(self)}
        for name in options:
            if name not in known:
                raise ValueError(f"sampling has no option {name!r}; it has {', '.join(sorted(known))}.")
        return replace(self, **options)  # type: ignore[arg-type]

    def resolved(self, path: Any, usual: int, method: Conditioning | None = None) -> tuple[Solver, Tensor]:
        """Return the solver and the falling times ``[steps + 1]`` for a path.

        Parameters
        ----------
        path
            The path of a model.
        usual
            Steps where none are named.
        method
            The way of conditioning, if any.
        """
        solver = solver_for(self.solver, path, method)
        if self.constraint is not None:
            solver = solver_for(constrained(path, solver, self.constraint), path, method)
        grid = self.grid or default_grid(path, solver)
        return solver, grid(path, int(self.steps or default_steps(path, usual)))
