"""The solver of joint paths: a step of every part's own solver, from one estimate of all parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from noisefold.configuration import configurable
from noisefold.noise.joint import Joint, JointPath
from noisefold.noise.joint_variable import JointVariable
from noisefold.sample.constraint import Constrained, constrained
from noisefold.sample.draw import task_of
from noisefold.sample.solver import Memory, Solver, Task

__all__ = ["JointSolver"]


@configurable
@dataclass(frozen=True)
class JointSolver(Solver):
    r"""A solver for each part, all of which move at once. One evaluation a step.

    Given the data the parts are independent, so that the joint process is that of all parts side by side: its
    generator is the sum of theirs, each with the estimate given the state of all parts, and in the limit of
    many steps the distribution is the data's. Within a step the parts do not see each other, an error that
    falls as one over the number of steps.

    Parameters
    ----------
    parts
        The solvers, in the order of the state, which ask for one estimate a step: `DDIM`, `Euler`,
        `Ancestral` and `DPMSolver` of positions, and all solvers of discrete paths.

    Raises
    ------
    ValueError
        If there is no part; on a step, if there are not as many as the path has, a solver is not of its path,
        or asks for an estimate at a second time.

    Source: Campbell et al., Generative Flows on Discrete State-Spaces: Enabling Multimodal Flows with
    Applications to Protein Co-Design (2024), section 4, https://arxiv.org/abs/2402.04997.
    """

    parts: tuple[Solver, ...]

    handles: ClassVar[type] = JointPath
    order: ClassVar[int | None] = 1

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("parts must hold at least one solver, got none.")

    def step(
        self, task: Task[Joint, Joint], state: Joint, t: Tensor, s: Tensor, memory: Memory
    ) -> tuple[Joint, Memory]:
        """Take one step of every part from t to s."""
        path, variable = task.path, task.variable
        assert isinstance(path, JointPath)
        assert isinstance(variable, JointVariable)
        self.check(path)
        estimate: Joint = task.denoise(state, t)
        memories = memory or (None,) * len(self.parts)
        clocks = list(zip(*(path.times(x) for x in task.times), strict=True))
        moved = []
        for k, (solver, way, begin, end) in enumerate(
            zip(self.parts, path.parts, path.times(t), path.times(s), strict=True)
        ):
            own = task_of(
                way,
                _Once(estimate.parts[k], begin, solver),
                task.times.new_tensor([float(x) for x in clocks[k]]),
                task.graphs,
                task.random,
                variable.parts[k],
            )
            moved.append(solver.step(own, state.parts[k], begin, end, memories[k]))
        return Joint(tuple(part for part, _ in moved)), tuple(kept for _, kept in moved)

    def check(self, path: JointPath) -> None:
        """Refuse a path with other parts.

        Raises
        ------
        ValueError
            If there are not as many, or a solver is not of its path.
        """
        own, found = [s.handles for s in self.parts], [type(way) for way in path.parts]
        if len(own) != len(found) or not all(map(issubclass, found, own)):
            raise ValueError(
                f"parts must be solvers of the path's parts, {', '.join(c.__name__ for c in found)}, got "
                f"solvers of {', '.join(c.__name__ for c in own)}."
            )


@constrained.register
def _(path: JointPath, solver: Solver, constraint: str) -> Solver:
    """Constrain the discrete part of a joint solver; the others are as they were."""
    discrete = [issubclass(Constrained.handles, type(way)) for way in path.parts]
    if not isinstance(solver, JointSolver) or not any(discrete):
        raise ValueError(
            f"constraint {constraint!r} is for discrete graphs, and no part is one; leave it out."
        )
    solver.check(path)
    parts = zip(path.parts, solver.parts, discrete, strict=True)
    return JointSolver(tuple(constrained(way, own, constraint) if d else own for way, own, d in parts))


@dataclass(frozen=True)
class _Once:
    """The estimate of one part at the beginning of a step, for a solver that asks for no other."""

    estimate: Any
    t: Tensor
    solver: Solver

    def __call__(self, state: Any, t: Tensor) -> Any:
        if float(t) != float(self.t):
            raise ValueError(
                f"{type(self.solver).__name__} asks for estimates at more than one time a step, when the "
                "other parts have not moved; use DDIM(), Euler(), Ancestral() or DPMSolver() in its place."
            )
        return self.estimate
