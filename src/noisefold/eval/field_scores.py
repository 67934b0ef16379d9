r"""The table of scores of generated fields, with the reference rows that give its numbers a meaning.

Beside the model stand, scored against the same test fields,

- ``real``: other test fields, what a perfect model would reach;
- ``train``: training fields, what a model that only remembers would reach (on the same positions only);
- ``noise``: independent normal values with each feature's mean and standard deviation;
- ``collapsed``: one real field, repeated;
- ``mean``: the mean of real fields, repeated.

Every row compares equally many fields with the same half of the test set, because all but one of these
distances grow as samples get fewer. Features are in standard deviations of the test set.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from noisefold.eval import field_metrics as fields
from noisefold.eval import spatial_statistics as texture
from noisefold.eval.metric_names import chosen_metrics
from noisefold.eval.score_table import Metric, Score, Scores, half_sampled
from noisefold.eval.transport import transport_cost
from noisefold.geometry import Graphs

__all__ = ["FIELD_METRICS", "score_fields"]

_SMALLEST = 4
_REFERENCES = ("real", "train", "noise", "collapsed", "mean")
_Statistic = Callable[[Tensor, Tensor], float]


@dataclass(frozen=True)
class _Pair:
    """Two sets of m fields each, standardised, and what makes statistics of some of their members.

    `scale` holds the fields that give the paper's ranges; `seed` is that of directions and pairs of nodes.
    """

    a: Graphs
    b: Graphs
    scale: Graphs
    seed: int

    @cached_property
    def _distances(self) -> tuple[Tensor, Tensor, Tensor]:
        x, y = fields.vectors(self.a), fields.vectors(self.b)
        return fields.distances(x, x), fields.distances(x, y), fields.distances(y, y)

    def _energy(self, unbiased: bool) -> _Statistic:
        aa, ab, bb = self._distances

        def statistic(i: Tensor, j: Tensor) -> float:
            return fields.energy(aa[i][:, i], ab[i][:, j], bb[j][:, j], unbiased)

        return statistic

    def energy(self) -> _Statistic:
        return self._energy(True)

    def energy_biased(self) -> _Statistic:
        return self._energy(False)

    def sliced(self) -> _Statistic:
        x, y = fields.vectors(self.a), fields.vectors(self.b)
        basis = fields.slices(x.shape[1], 128, self.seed)
        u, v = x @ basis, y @ basis
        return lambda i, j: fields.sliced_distance(u[i], v[j])

    def marginal(self) -> _Statistic:
        order, gaps = fields.ranks(torch.cat([fields.values_of(self.a), fields.values_of(self.b)]))
        batch = (self.a.batch.cpu(), self.b.batch.cpu())

        def statistic(i: Tensor, j: Tensor) -> float:
            weights = []
            for rows, member, sign in ((i, batch[0], 1.0), (j, batch[1], -1.0)):
                chosen = torch.zeros(int(member[-1]) + 1, dtype=torch.float64).index_fill_(0, rows, 1.0)[
                    member
                ]
                weights.append(sign * chosen / chosen.sum())
            return float(fields.marginal_distance(order, gaps, torch.cat(weights)).mean())

        return statistic

    def moran(self) -> _Statistic:
        u, v = texture.morans_i(self.a), texture.morans_i(self.b)
        return lambda i, j: float((u[i].sort(0).values - v[j].sort(0).values).abs().mean())

    def variogram(self) -> _Statistic:
        edges = texture.lags(self.b)
        u, v = (texture.roughness(s, edges, self.seed) for s in (self.a, self.b))
        return lambda i, j: float((u[i].nanmean(0) - v[j].nanmean(0)).square().nanmean().sqrt())

    def spectrum(self) -> _Statistic:
        u, v = texture.power_spectrum(self.a), texture.power_spectrum(self.b)
        return lambda i, j: texture.spectral_distance(u[i], v[j])

    def paper(self) -> _Statistic:
        cost = fields.paper_field_distances(self.a, self.b, self.scale)
        return lambda i, j: transport_cost(cost[i][:, j])


_ENERGY = (
    "Energy distance 2 E|X-Y| - E|X-X'| - E|Y-Y'| of whole fields, |.| their root mean square difference: "
    "0 says that the two distributions agree; the estimate is unbiased, and may fall below 0."
)
_BIASED = (
    "The same with each field also paired with itself: never below 0, and about 2 E|X-X'| / m for m real "
    "fields against m others, so that it can be told in multiples of the row real."
)
_SLICED = "Sliced Wasserstein distance of order 2 of whole fields, over 128 random directions."
_MARGINAL = (
    "Wasserstein distance of order 1 of the values of a feature, wherever they stand; mean over features."
)
_MORAN = (
    "Wasserstein distance of order 1 between the distributions of Moran's I (6 neighbours) over graphs, "
    "mean over features: whether values are as spatially coherent as real ones."
)
_VARIOGRAM = "Root mean square difference of mean variograms, over 8 classes of distance and all features."
_SPECTRUM = (
    "Log-spectral distance of mean power over the cosine modes of the grid: 3 dB are a factor 2 in power."
)
_PAPER = (
    "Wasserstein distance of whole fields per time point, in ranges of each time point, as printed by arXiv "
    "2507.09391: for comparison with its tables only, since the mean field beats every model of the paper."
)
_ANYWHERE, _ALIGNED, _GRID = range(3)
_CATALOGUE: dict[str, tuple[Metric, int, Callable[[_Pair], _Statistic]]] = {
    metric.name: (metric, needs, build)
    for metric, needs, build in (
        (Metric("energy", 0.0, _ENERGY, "sd", (-float("inf"), float("inf"))), _ALIGNED, _Pair.energy),
        (Metric("energy-V", "lower", _BIASED, "sd"), _ALIGNED, _Pair.energy_biased),
        (Metric("SW2", "lower", _SLICED, "sd"), _ALIGNED, _Pair.sliced),
        (Metric("marginal-W1", "lower", _MARGINAL, "sd"), _ANYWHERE, _Pair.marginal),
        (Metric("Moran-W1", "lower", _MORAN), _ANYWHERE, _Pair.moran),
        (Metric("variogram", "lower", _VARIOGRAM, "sd^2"), _ANYWHERE, _Pair.variogram),
        (Metric("spectrum", "lower", _SPECTRUM, "dB"), _GRID, _Pair.spectrum),
        (Metric("paper-W", "lower", _PAPER, "ranges"), _GRID, _Pair.paper),
    )
}
FIELD_METRICS: tuple[str, ...] = tuple(_CATALOGUE)
"""Names of all metrics that `score_fields` knows."""


def score_fields(
    made: Graphs | Mapping[str, Graphs],
    test: Graphs,
    train: Graphs | None = None,
    *,
    metrics: Sequence[str] | None = None,
    resamples: int = 200,
    seed: int = 0,
    progress: Callable[[int, int, str], None] | None = None,
) -> Scores:
    """Score generated fields against test fields, beside the references that say what a number is worth.

    The test set is cut at random into the half that all rows are compared with and the half that is the row
    real; of all others as many fields are taken. Bring twice as many test fields as are made.

    Parameters
    ----------
    made
        Fields ``x [n, f]``, on the positions of `test` where its graphs share theirs. Several generators come
        as a mapping from the names of their rows; one alone is called "model".
    test
        At least 8 fields, all on the same positions or each on its own.
    train
        Training fields. Where they stand on other positions than the test fields, which share theirs, their
        row is left out, as the table's note says.
    metrics
        Names out of `FIELD_METRICS`; None: all that apply. Metrics of whole fields need common positions, the
        spectrum and paper-W a regular grid too.
    resamples
        Random halves for each interval; 0 gives no intervals.
    seed
        Of every choice: which fields, noise, directions, pairs of nodes and halves.
    progress
        Called as ``progress(done, rows, name)`` before each row.

    Returns
    -------
    Scores
        Rows model (or the names given), real, train, noise, collapsed, mean; without common positions no row
        collapsed, and the mean of each feature stands for the mean field.

    Raises
    ------
    ValueError
        If a metric is unknown or does not apply, positions of `made` are not those of `test`, or a set is too
        small, has other features, or values that are not finite.
    """
    models = {"model": made} if isinstance(made, Graphs) else dict(made)
    _check(models, test, train)
    shared = fields.aligned(test)
    for name, graphs in models.items():
        if shared and not fields.aligned(test, graphs):
            raise ValueError(f"made ({name}) must be on the positions of test; sample with like=test.")
    chosen = _applicable(metrics, test)
    size = min(*(len(g) for g in models.values()), len(test) // 2)
    generator = torch.Generator().manual_seed(seed)
    values = fields.values_of(test)
    centre, spread = values.mean(0), values.std(0, correction=0)
    spread = torch.where(spread > 0, spread, 1.0)

    def draw(graphs: Graphs, count: int) -> Graphs:
        some = graphs[torch.randperm(len(graphs), generator=generator)[:count].to(graphs.device)]
        x = (fields.values_of(some) - centre) / spread
        return Graphs(some.pos.detach().cpu(), x, some.ptr.cpu())

    notes = [f"Features in standard deviations of the test set; {size} fields in every row."]
    both = draw(test, 2 * size)
    reference, real = both[:size], both[size:]
    rows = {name: (f"{size} generated fields.", draw(g, size)) for name, g in models.items()}
    rows["real"] = (f"{size} other test fields: perfection.", real)
    scale = real
    if train is not None and shared and not fields.aligned(test, train):
        notes.append("No row train: the training fields stand on other positions than the test fields.")
    elif train is not None and len(train) < size:
        notes.append(f"No row train: there are {len(train)} training fields only.")
    elif train is not None:
        rows["train"] = (f"{size} training fields: memory.", draw(train, size))
        scale = draw(train, len(train)) if shared else real
    noise = torch.randn(real.num_nodes, real.features, generator=generator, dtype=torch.float64)
    rows["noise"] = ("independent normal values with each feature's mean and sd.", real.replace(x=noise))
    if shared:
        stack = fields.vectors(real)
        for name, text, one in (
            ("collapsed", "one test field, repeated.", stack[0]),
            ("mean", "the mean of the fields of the row real, repeated.", stack.mean(0)),
        ):
            rows[name] = (text, real.replace(x=one.expand_as(stack).reshape(-1, real.features)))
    else:
        rows["mean"] = ("every value at its feature's mean.", real.replace(x=torch.zeros_like(noise)))
        notes.append("The graphs differ in their positions: no metric of whole fields, and no row collapsed.")
    table: dict[str, dict[str, Score]] = {}
    for done, (row, (_, graphs)) in enumerate(rows.items()):
        if progress is not None:
            progress(done, len(rows), row)
        pair = _Pair(graphs, reference, scale, seed)
        table[row] = {name: _score(pair, name, size, resamples, seed) for name in chosen}
    about = {row: text for row, (text, _) in rows.items()}
    return Scores(tuple(_CATALOGUE[name][0] for name in chosen), table, about, " ".join(notes))


def _score(pair: _Pair, name: str, size: int, resamples: int, seed: int) -> Score:
    metric, _, build = _CATALOGUE[name]
    return half_sampled(build(pair), (size,) * 2, resamples=resamples, seed=seed, bounds=metric.bounds)


def _applicable(metrics: Sequence[str] | None, test: Graphs) -> tuple[str, ...]:
    """Return the metrics asked for, or all that apply to these positions."""
    level = _GRID if texture.grid_shape(test) is not None else _ALIGNED if fields.aligned(test) else _ANYWHERE
    if metrics is None:
        return tuple(name for name, (_, needs, _) in _CATALOGUE.items() if needs <= level)
    chosen = chosen_metrics(metrics, FIELD_METRICS)
    for name in chosen:
        if _CATALOGUE[name][1] > level:
            what = "one regular grid" if _CATALOGUE[name][1] == _GRID else "the same positions in all graphs"
            raise ValueError(f"metrics has {name!r}, which needs {what}; leave it out.")
    return chosen


def _check(models: Mapping[str, Graphs], test: Graphs, train: Graphs | None) -> None:
    if not models or any(name in _REFERENCES for name in models):
        raise ValueError(f"made must name rows other than {', '.join(_REFERENCES)}; got {list(models)}.")
    sets = [(f"made ({name})", graphs, _SMALLEST) for name, graphs in models.items()]
    sets += [("test", test, 2 * _SMALLEST)] + ([] if train is None else [("train", train, 1)])
    for name, graphs, least in sets:
        if graphs.features == 0 or graphs.features != test.features or graphs.dim != test.dim:
            raise ValueError(f"{name} must have features on positions like those of test, got {graphs!r}.")
        if len(graphs) < least or int(graphs.sizes.min()) < 2:
            raise ValueError(f"{name} must hold at least {least} graphs of 2 nodes or more, got {graphs!r}.")
        if not bool(fields.values_of(graphs).isfinite().all()):
            raise ValueError(f"{name} has features that are NaN or infinite; leave these graphs out.")
