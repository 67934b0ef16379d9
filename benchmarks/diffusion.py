"""The laboratory's networks: all at once against one after the other, and the ways to do it at once.

    OMP_NUM_THREADS=1 python benchmarks/diffusion.py [--epochs 4] [--repeats 5] [--keep]

The crossing trains 4 targets x 3 kinds of noise x 2 schedules x 5 seeds = 120 networks. One after the other,
each takes an ordinary loop: `nn.Sequential`, `torch.optim.Adam`, a backward pass a step, its batches made
an epoch at a time, as for the batched training. Both ways run in turn; times are of this process alone, and
begin when the tables of noise are ready.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from itertools import product

import torch
from results import record
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from noisefold.studies.diffusion.chains import NOISES, SCHEDULES
from noisefold.studies.diffusion.distributions import MIXTURE
from noisefold.studies.diffusion.perceptrons import (
    TARGETS,
    Perceptrons,
    Recipe,
    Trial,
    batches,
    perceptron,
    update,
    update_one,
)

SEEDS = 5


def seconds(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def functional(trials: list[Trial], recipe: Recipe) -> Callable[[Tensor, Tensor], object]:
    """The gradient of all networks by torch.func."""
    nets = [perceptron(2, recipe.hidden, cell.seed) for cell in trials]
    weights = {k: v.detach() for k, v in stack_module_state(nets)[0].items()}

    def loss(parameters: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(functional_call(nets[0], parameters, (x.T,)), y.T)

    slope = vmap(grad(loss))
    return lambda x, y: slope(weights, x, y)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=4, help="epochs of a measurement; the study has 50")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="write docs/results/benchmarks.json")
    options = parser.parse_args()
    recipe = Recipe(epochs=options.epochs)
    trials = [Trial(*what) for what in product(TARGETS, NOISES, SCHEDULES, range(SEEDS))]
    every, single = batches(MIXTURE, trials, recipe), batches(MIXTURE, trials[:1], recipe)
    together, alone = [], []
    for _ in range(options.repeats):
        together.append(
            seconds(lambda: update(Perceptrons(2, recipe.hidden, [c.seed for c in trials]), every, recipe))
        )
        alone.append(seconds(lambda: update_one(perceptron(2, recipe.hidden, 0), single, recipe)))
    one, all_ = statistics.median(alone), statistics.median(together)
    x, y = (part[0] for part in every(0))
    nets = Perceptrons(2, recipe.hidden, [c.seed for c in trials])
    out, by_func = torch.zeros_like(nets.flat), functional(trials, recipe)
    steps = {}
    for name, way in (
        ("written out", lambda: nets.gradient(x, y, out)),
        ("torch.func", lambda: by_func(x, y)),
    ):
        way()
        steps[name] = statistics.median(seconds(way) for _ in range(20 * options.repeats)) * 1e3
    scale = 50 / options.epochs
    result = {
        "networks": len(trials),
        "one_s": one * scale,
        "one_after_the_other_s": one * scale * len(trials),
        "all_at_once_s": all_ * scale,
        "times_faster": len(trials) * one / all_,
        "gradient_ms": steps,
    }
    for name, value in result.items():
        print(f"{name:22} {value}")
    if options.keep:
        record({"diffusion": result})


if __name__ == "__main__":
    main()
