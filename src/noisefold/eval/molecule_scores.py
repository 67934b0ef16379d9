r"""The table of scores of generated molecules, beside the reference rows that give its numbers a meaning.

A molecule is valid if RDKit can sanitise it, as it was generated: nothing is mended, and no fragment is left
out. Scores of valid molecules:

- ``FCD``, the Fréchet distance :math:`|\mu - \mu'|^2 + \operatorname{tr}(C + C' - 2 (C C')^{1/2})`
  between the activations of ChemNet for generated and test molecules. It falls as sets grow, so that its
  floor is that of as many training molecules, the row ``train``;
- Wasserstein distances of molecular weight, octanol-water partition coefficient and drug-likeness, in
  standard deviations of the test set.

Intervals are over generated molecules: shares have Wilson's, all others the delete-half jackknife of
`noisefold.eval.half_sampled`.

Source: Preuer et al., Fréchet ChemNet Distance (2018), https://arxiv.org/abs/1803.09518; Polykovskiy et al.,
Molecular Sets (MOSES) (2020), https://arxiv.org/abs/1811.12823.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import wasserstein_distance
from torch import Tensor

from noisefold.arguments import seed_of
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled, share_score
from noisefold.geometry.gp import eigh, square_root

__all__ = ["MOLECULE_METRICS", "score_molecules"]

Array = NDArray[np.float64]
_SHARE = (0.0, 1.0)
_FCD = (20, 64)  # random halves, since each takes a square root of a large matrix; fewest molecules
_DISTANCE = "Wasserstein distance to the test molecules of {}, in standard deviations of theirs."
_PROPERTIES = {
    "weight": "molecular weight",
    "logP": "Crippen's octanol-water partition coefficient",
    "QED": "quantitative estimate of drug-likeness",
}
_METRICS: tuple[Metric, ...] = (
    Metric("valid", "higher", "Share of graphs that RDKit can sanitise, as they are.", bounds=_SHARE),
    Metric("connected", "higher", "Share of graphs that are valid and one fragment.", bounds=_SHARE),
    Metric("unique", "higher", "Share of valid ones that do not repeat an earlier one.", bounds=_SHARE),
    Metric("novel", "higher", "Share of valid and unique ones that are no training molecule.", bounds=_SHARE),
    Metric(
        "FCD",
        "lower",
        "Fréchet ChemNet distance of the valid ones to the test molecules: it falls as sets grow, so compare "
        "with the row train, as many training molecules.",
    ),
    *(Metric(name, "lower", _DISTANCE.format(words)) for name, words in _PROPERTIES.items()),
)
MOLECULE_METRICS: tuple[str, ...] = tuple(m.name for m in _METRICS)
"""Names of all metrics that `score_molecules` knows."""


@dataclass(frozen=True)
class _Molecules:
    """Molecules of RDKit, None where a graph is none, and what is computed of them once."""

    found: Sequence[Any]

    @cached_property
    def valid(self) -> list[Any]:
        """The valid ones."""
        return [m for m in self.found if m is not None]

    @cached_property
    def smiles(self) -> list[str]:
        """Canonical SMILES of the valid ones."""
        from rdkit import Chem

        return [Chem.MolToSmiles(m) for m in self.valid]

    @cached_property
    def properties(self) -> dict[str, Array]:
        """Properties of the valid ones by name."""
        from rdkit.Chem import Descriptors

        ways: dict[str, Any] = dict(Descriptors.descList)
        names = dict(zip(_PROPERTIES, ("MolWt", "MolLogP", "qed"), strict=True))
        return {
            key: np.array([ways[name](m) for m in self.valid], dtype=float) for key, name in names.items()
        }

    @cached_property
    def activations(self) -> Array:
        """Activations of ChemNet for the valid ones, ``[m, 512]``."""
        from fcd import get_predictions, load_ref_model

        found: Array = np.asarray(get_predictions(load_ref_model(), self.smiles, n_jobs=0), dtype=float)
        return found


def score_molecules(
    generated: Mapping[str, Sequence[Any]],
    test: Sequence[Any],
    train: Sequence[Any] | None = None,
    *,
    about: Mapping[str, str] | None = None,
    metrics: Sequence[str] | None = None,
    resamples: int = 200,
    seed: int = 0,
) -> Scores:
    """Score molecules of RDKit against test molecules, beside as many training molecules.

    Parameters
    ----------
    generated
        Molecules by the name of their row; None stands for a graph that is no molecule.
    test, train
        Real molecules; without `train` there is no novelty, and no row of that name.
    about
        What stands in a row, by its name.
    metrics
        Names out of `MOLECULE_METRICS`; None: all, without the FCD if the package ``fcd`` is not installed or
        there are fewer than 64 valid molecules.
    resamples
        Random halves for each interval; 0 gives no intervals but those of shares.
    seed
        Of every choice.

    Raises
    ------
    ValueError
        If a metric is unknown or does not apply, a set is empty, or `test` has fewer than 2 valid molecules.
    """
    unknown = [m for m in metrics or () if m not in MOLECULE_METRICS]
    if unknown:
        raise ValueError(f"metric {unknown[0]!r} is unknown; known are {', '.join(MOLECULE_METRICS)}.")
    sets = {**generated, "test": test, **({} if train is None else {"train": train})}
    for name, found in sets.items():
        if not len(found):
            raise ValueError(f"{name} holds no molecules; give at least one.")
    size, rng = min(len(g) for g in generated.values()), np.random.default_rng(seed_of(seed))
    real = _Molecules(test)
    if len(real.valid) < 2:
        raise ValueError("test holds fewer than 2 valid molecules; give real ones.")
    known = None if train is None else frozenset(_Molecules(train).smiles)
    rows = {name: _Molecules(found[:size]) for name, found in generated.items()}
    if train is not None:
        chosen = rng.permutation(len(train))[:size]
        rows["train"] = _Molecules([train[i] for i in chosen])
    texts = {name: f"{size} generated graphs against {len(test)} test molecules." for name in generated}
    texts |= {"train": f"{min(size, len(train or ()))} training molecules: as near as real ones come."}
    texts |= dict(about or {})
    names = [m for m in metrics or MOLECULE_METRICS if m != "novel" or known is not None]
    enough = min(len(r.valid) for r in (rows[next(iter(generated))], real)) >= _FCD[1]
    notes = []
    if metrics is None and not (enough and importlib.util.find_spec("fcd")):
        names.remove("FCD")
        notes.append("FCD needs 64 valid molecules and the package fcd: pip install noisefold[chem].")
    table = {
        name: {metric: _score(metric, row, real, known, resamples, seed) for metric in names}
        for name, row in rows.items()
    }
    chosen_metrics = tuple(m for m in _METRICS if m.name in names)
    return Scores(chosen_metrics, table, {name: texts[name] for name in rows}, " ".join(notes))


def _score(
    metric: str, row: _Molecules, real: _Molecules, known: frozenset[str] | None, resamples: int, seed: int
) -> Score:
    if metric in ("valid", "connected", "unique", "novel"):
        return share_score(_flags(metric, row, known))
    if len(row.valid) < 2:
        return Score(float("inf"))
    if metric == "FCD":
        other = real.activations

        def statistic(i: Tensor) -> float:
            return frechet_distance(row.activations[i.numpy()], other)

        resamples = min(resamples, _FCD[0])
    else:
        own, wanted = row.properties[metric], real.properties[metric]
        unit = float(wanted.std()) or 1.0

        def statistic(i: Tensor) -> float:
            return float(wasserstein_distance(own[i.numpy()], wanted)) / unit

    return half_sampled(statistic, (len(row.valid),), resamples=resamples, seed=seed, bounds=(0.0, math.inf))


def _flags(metric: str, row: _Molecules, known: frozenset[str] | None) -> NDArray[np.bool_]:
    if metric == "valid":
        return np.array([m is not None for m in row.found])
    if metric == "connected":
        pieces = iter(row.smiles)
        return np.array([m is not None and "." not in next(pieces) for m in row.found])
    if metric == "unique":
        first = {s: i for i, s in reversed(list(enumerate(row.smiles)))}
        return np.array([first[s] == i for i, s in enumerate(row.smiles)] or [False])
    return np.array([s not in (known or ()) for s in dict.fromkeys(row.smiles)] or [False])


def frechet_distance(a: Array, b: Array) -> float:
    """Return the Fréchet distance of the normal distributions fitted to ``a [m, c]`` and ``b [n, c]``."""
    means = a.mean(0) - b.mean(0)
    first, second = np.cov(a.T), np.cov(b.T)
    root = square_root(torch.from_numpy(second)).numpy()
    # tr (C C')^1/2 is the sum of the singular values of C^1/2 R with R R^T = C'.
    shared, _ = eigh(torch.from_numpy(root.T @ first @ root))
    both = float(shared.clamp(min=0).sqrt().sum())
    return float(max(0.0, means @ means + np.trace(first) + np.trace(second) - 2 * both))
