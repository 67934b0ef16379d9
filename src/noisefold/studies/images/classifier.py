"""The classifier of digits whose features images are scored by, trained and tested.

The weights are written as ``SCALE-classifier.safetensors``; those of the scale "short" ship with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional

from noisefold.eval.image_features import DigitClassifier
from noisefold.eval.score_table import share_score
from noisefold.geometry import Graphs
from noisefold.geometry.lattice import lattices
from noisefold.progress import progress
from noisefold.studies.images.data import digits
from noisefold.studies.kit.experiment import Experiment, Result, Run
from noisefold.studies.kit.plots import panels
from noisefold.studies.kit.tables import markdown
from noisefold.tensor_files import atomic_tensors

__all__ = ["STUDY", "measure"]

_MOVED = 2  # pixels by which training images are shifted at most


@dataclass(frozen=True)
class Scale:
    """Steps of the training, images in each, and images to train on at most."""

    steps: int
    batch: int
    images: int | None


SCALES = {"smoke": Scale(4, 8, 64), "short": Scale(1500, 64, None)}


def measure(run: Run[Scale]) -> tuple[Result, DigitClassifier]:
    """Return accuracy and confusion on test images, and the classifier."""
    size = run.size
    sets = digits(stand_in=run.scale == "smoke", most=size.images)
    train, test = (_tensor(graphs) for graphs in (sets.train, sets.test))
    torch.manual_seed(run.seed)
    net = DigitClassifier()
    optimizer = torch.optim.AdamW(net.parameters(), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=size.steps)
    assert sets.train.label is not None
    assert sets.test.label is not None
    with progress(run.name, size.steps) as advance:
        for _ in range(size.steps):
            chosen = torch.randint(len(train), (size.batch,))
            loss = functional.cross_entropy(net.logits(net(_moved(train[chosen]))), sets.train.label[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(1, f"loss {float(loss.detach()):.3f}")
    net.eval()
    with torch.no_grad():
        found = torch.cat([net.logits(net(part)).argmax(1) for part in test.split(256)])
    score = share_score((found == sets.test.label).tolist())
    confusion = torch.bincount(10 * sets.test.label + found, minlength=100).view(10, 10)
    result = {
        "data": sets.about,
        "steps": size.steps,
        "parameters": sum(p.numel() for p in net.parameters()),
        "accuracy": score.value,
        "low": score.low,
        "high": score.high,
        "confusion": confusion.tolist(),
    }
    return result, net


def _tensor(graphs: Graphs) -> Tensor:
    assert graphs.x is not None
    return lattices(graphs)[0].images(graphs.x) / 255


def _moved(images: Tensor) -> Tensor:
    """Shift images by a few pixels, all of a batch alike."""
    down, right = torch.randint(-_MOVED, _MOVED + 1, (2,)).tolist()
    return images.roll((down, right), (2, 3))


def table(result: Result) -> str:
    """Return accuracy, interval and size."""
    share = "{accuracy:.4f} [{low:.4f}, {high:.4f}]".format(**result)
    rows = [["accuracy on test images", share], ["parameters", result["parameters"]]]
    return f"{result['data']}\n\n{markdown(['classifier of digits', ''], rows)}"


def figure(result: Result) -> Figure:
    """Draw how often each digit is taken for another."""
    picture, panel = panels(1, 1, 5, 4.4)
    share = np.array(result["confusion"], dtype=float)
    share /= share.sum(1, keepdims=True).clip(min=1)
    image = panel.imshow(share + 1e-4, norm="log", cmap="viridis")
    panel.set(xlabel="taken for", ylabel="digit", xticks=range(10), yticks=range(10))
    picture.colorbar(image, label="share of test images")
    return picture


def _make(run: Run[Scale]) -> list[Path]:
    result, net = measure(run)
    run.out.mkdir(parents=True, exist_ok=True)
    weights = run.out / f"{run.scale}-classifier.safetensors"
    atomic_tensors(weights, net.state_dict())
    run.extra.append(weights)
    return run.write(result, table(result), figure(result))


STUDY = Experiment("image-classifier", SCALES, _make)
