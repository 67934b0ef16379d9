"""Scores of models of tracks: places that are not known, given those that are, beside baselines.

The baselines are persistence, and, where all tracks have the same times, Gaussians in the stereographic chart
around what is known (`noisefold.eval.StereographicGaussian`). Intervals are of means over tracks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.score_table import Metric, Score, Scores
from noisefold.eval.stereographic import StereographicGaussian, persisted
from noisefold.eval.track_scores import score_places
from noisefold.geometry.graphs import Graphs

__all__ = ["TRACK_METRICS", "forecast_masks", "score_tracks"]

_METRICS = (
    Metric(
        "log-likelihood",
        "higher",
        "Mean log-density by area, in square radians, of all unknown places of a track given the known ones.",
        "nats",
        (-math.inf, math.inf),
    ),
    Metric("error", "lower", "Mean distance of the draws' geodesic median from the truth.", "km"),
    Metric("energy", "lower", "Energy score of the draws of a place, by great-circle distance.", "km"),
    *(
        Metric(
            f"cover {q} %",
            q / 100,
            f"Share of true places within the draws' region of {q} %.",
            "",
            (0.0, 1.0),
        )
        for q in (50, 90)
    ),
)
TRACK_METRICS = tuple(m.name for m in _METRICS)
"""Metrics of tracks, in the order of their columns."""
_ABOUT = {
    "model": "draws of the model given the known places.",
    "Gaussian": "mean and covariance of training tracks in the stereographic chart around the known places.",
    "Gaussian process": "constant, linear and Matern-5/2 part in time, fitted in the same chart.",
    "persistence": "the last motion goes on along a great circle.",
}


def forecast_masks(graphs: Graphs, share: float = 0.4) -> Tensor:
    """Return which places are known ``[n]``: this share of each track, the first ones, two at least."""
    local = torch.arange(graphs.num_nodes) - graphs.ptr[graphs.batch].cpu()
    sizes = graphs.sizes.cpu()[graphs.batch.cpu()]
    return local < torch.ceil(share * sizes).clamp(min=2)


def score_tracks(
    draws: Tensor,
    test: Graphs,
    known: Tensor,
    train: Graphs | None,
    *,
    log_probs: Tensor | None = None,
    metrics: Sequence[str] | None = None,
    noise: float = 1.6e-7,
    seed: int = 0,
) -> Scores:
    """Score draws of the unknown places of tracks, beside baselines.

    Parameters
    ----------
    draws
        The model's, ``[m, n, 3]``.
    test, known
        The truth, times ``[n, 1]`` and unit vectors ``[n, 3]``, and which places were known ``[n]``.
    train
        Training tracks, for the Gaussian baselines; None leaves them out.
    log_probs
        Of the model, of what is not known ``[g]``, in nats; None for none.
    metrics
        Some of `TRACK_METRICS`; None for all.
    noise
        Variance of the noise of places, in square radians.
    seed
        Of the baselines' draws.

    Raises
    ------
    ValueError
        If a metric is unknown, or no place is unknown.
    """
    chosen = chosen_metrics(metrics, TRACK_METRICS)
    if bool(known.all()):
        raise ValueError("known must leave places unknown, and all are known.")
    assert test.x is not None
    rows = {"model": _row(draws, test, known, log_probs)}
    same = _grid(test, known)
    if same is not None and train is not None and _times(train) is not None:
        times, mask = same
        seen = train.x
        assert seen is not None
        if torch.equal(times, _times(train)):  # type: ignore[arg-type]
            x, y = seen.unflatten(0, (len(train), -1)), test.x.unflatten(0, (len(test), -1))
            gaussians = {
                "Gaussian": StereographicGaussian.empirical(x, mask, noise),
                "Gaussian process": StereographicGaussian.process(times, x, mask, noise),
            }
            for name, found in gaussians.items():
                made = found.draw(y, len(draws), seed).flatten(1, 2)
                rows[name] = _row(made, test, known, found.log_density(y))
    rows["persistence"] = _row(_carried(test, known).expand(2, -1, -1), test, known, None, spread=False)
    table = {row: {n: s for n, s in cells.items() if n in chosen} for row, cells in rows.items()}
    columns = tuple(m for m in _METRICS if m.name in chosen)
    note = f"{int((~known).sum())} unknown places of {len(test)} tracks, {len(draws)} draws of each."
    return Scores(columns, table, {name: _ABOUT[name] for name in table}, note)


def _row(
    draws: Tensor, test: Graphs, known: Tensor, log_probs: Tensor | None, spread: bool = True
) -> dict[str, Score]:
    assert test.x is not None
    batch = test.batch[~known]
    scores = score_places(draws[:, ~known], test.x[~known])
    cells = {} if log_probs is None else {"log-likelihood": _mean(log_probs, len(test), None)}
    cells["error"] = _mean(scores.median_error, len(test), batch)
    if spread:
        cells["energy"] = _mean(scores.energy, len(test), batch)
        for q in (50, 90):
            inside = (scores.rank <= q / 100 + 1e-9).double()
            cells[f"cover {q} %"] = _mean(inside, len(test), batch, (0.0, 1.0))
    return cells


def _mean(
    values: Tensor, count: int, batch: Tensor | None, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Score:
    """Return the mean of values of tracks, or of their places ``batch``, with an interval over tracks."""
    values = values.cpu().double()
    weight = torch.ones_like(values)
    if batch is not None:
        values, weight = (torch.zeros(count).double().index_add(0, batch.cpu(), v) for v in (values, weight))
    mean = float(values.sum() / weight.sum())
    if count < 2:
        return Score(mean)
    error = float((values - mean * weight).std() / weight.mean()) / math.sqrt(count)
    low, high = max(bounds[0], mean - 1.96 * error), min(bounds[1], mean + 1.96 * error)
    return Score(mean, min(low, mean), max(high, mean))


def _times(graphs: Graphs) -> Tensor | None:
    """Return the times ``[m]`` that all tracks share, or None."""
    size = graphs.uniform
    if size is None:
        return None
    times = graphs.pos[:, 0].reshape(-1, size)
    return times[0] if bool((times == times[:1]).all()) else None


def _grid(graphs: Graphs, known: Tensor) -> tuple[Tensor, Tensor] | None:
    """Return times and mask ``[m]`` that all tracks share, or None."""
    times = _times(graphs)
    if times is None:
        return None
    masks = known.reshape(-1, len(times))
    return (times, masks[0]) if bool((masks == masks[:1]).all()) else None


def _carried(test: Graphs, known: Tensor) -> Tensor:
    """Return all places under persistence, track by track."""
    assert test.x is not None
    parts = zip(test.unpack(), test.unpack(test.x), test.unpack(known), strict=True)
    return torch.cat([persisted(t[:, 0], x[None], mask)[0] for t, x, mask in parts])
