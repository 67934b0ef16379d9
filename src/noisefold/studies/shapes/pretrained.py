"""Train the model shipped in the package, ``noisefold/shapes``, score it and write its card.

It learns procedural shapes, which need no file and carry no licence but this project's, so that anybody can
train it again from nothing. Its card gives the scores on held-out shapes.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from noisefold.data import shapes
from noisefold.eval import Scores, score_clouds
from noisefold.files import atomic_text
from noisefold.model import Model
from noisefold.report.figures.clouds import contact_sheet
from noisefold.runs import Run as RunFolder
from noisefold.studies.kit.experiment import Experiment, Run, provenance, save_figure
from noisefold.studies.kit.presets import LARGE_LATENTS
from noisefold.tensor_files import atomic_tensors
from noisefold.train import Training
from noisefold.train.device import fast_precision

__all__ = ["STUDY"]


@dataclass(frozen=True)
class Scale:
    """Shapes to learn, held-out ones, shapes drawn, points of each, the network and its training."""

    shapes: int
    held_out: int
    draws: int
    points: int
    net: dict[str, Any]
    training: Training


_SHORT = Training(
    steps=9_000,
    batch=64,
    nodes=400,
    lr=1.5e-3,
    warmup=200,
    precision=fast_precision(),
    validate_every=500,
    checkpoint_every=250,
)
SCALES = {
    "smoke": Scale(
        200,
        40,
        10,
        64,
        {"width": 16, "latents": 8, "latent_width": 32, "rounds": 1, "blocks": 1},
        Training(steps=20, batch=8, nodes=64, warmup=5, validate_every=20),
    ),
    "short": Scale(20_000, 500, 150, 400, {}, _SHORT),
    "paper": Scale(
        50_000,
        500,
        500,
        400,
        LARGE_LATENTS,
        replace(_SHORT, steps=100_000, batch=256),
    ),
}


def _make(run: Run[Scale]) -> list[Path]:
    """Train, or continue; export in half precision, score what was exported, write its card."""
    size, out, seed = run.size, run.folder, run.seed
    data = shapes(size.shapes, seed=0)
    held_out = shapes(size.held_out, seed=1)
    model = Model.for_data(data, **size.net)
    model.fit(data, held_out, out=out, resume=True, settings=replace(size.training, seed=seed))
    folder = out / "export"
    _export(model, folder)
    shipped = Model.from_pretrained(folder)
    scores = _score(shipped, size)
    made = provenance(f"noisefold study pretrained --scale {run.scale}")
    atomic_text(folder / "scores.json", json.dumps({"made": made, **scores.to_dict()}, indent=1))
    atomic_text(folder / "README.md", _card(shipped, scores, out, size))
    names = [name for name in shipped.classes for _ in range(2)]
    sheet = contact_sheet(
        shipped.sample(len(names), nodes=1024, labels=names, seed=seed), columns=len(names) // 2
    )
    save_figure(sheet, out / "samples.png", dpi=110)
    return [*sorted(folder.iterdir()), out / "samples.png"]


def _export(model: Model, folder: Path) -> None:
    model.save_pretrained(folder)
    half = {k: v.half() for k, v in model.net.state_dict().items()}
    atomic_tensors(folder / "model.safetensors", half)


def _score(model: Model, size: Scale) -> Scores:
    """Return the both halves of a fresh test set: as many real shapes for the floor as for the model."""
    test = shapes(2 * size.draws, points=size.points, seed=2)
    train = shapes(size.draws, points=size.points, seed=0)
    assert test.label is not None
    labels = test.label[: size.draws].tolist()
    made = model.sample(size.draws, nodes=size.points, labels=labels, seed=0)
    return score_clouds(made, test, train)


def _card(model: Model, scores: Scores, out: Path, size: Scale) -> str:
    facts = "\n".join(f"- {name}: {value}" for name, value in RunFolder(out).facts().items())
    return f"""# noisefold/shapes

Generates point clouds of {len(model.classes)} families of procedural shapes: {", ".join(model.classes)}.

- network: {type(model.net).__name__}, {model.num_parameters:,} parameters, stored in half precision
- data: `noisefold.data.shapes({size.shapes}, seed=0)`, {size.training.nodes} points of each per step
- path and target: {model.path.schedule!r}, {model.target.name}
{facts}
- made by: `noisefold study pretrained --scale short`
- licence: Apache-2.0

## Scores

{size.draws} generated shapes of {size.points} points (Heun, 50 steps) against
`shapes({2 * size.draws}, seed=2)`, which training never saw.

{scores.markdown()}

## Limits

It knows these families in roughly upright pose and nothing else. Asked for more points than the
{size.training.nodes} it was trained with it still answers, since points interact only through its latents.
"""


STUDY = Experiment("pretrained", SCALES, _make, one_core=False)
