"""The one class a user needs: a network, a path, a prediction and what is generated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor

from noisefold.arguments import whole
from noisefold.data.classes import named_classes
from noisefold.domains import Request, domain_of, recipe_for
from noisefold.eval.score_table import Scores
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.selection import spread
from noisefold.geometry.summary import DataSummary
from noisefold.geometry.transform import Transform
from noisefold.model_state import ModelState, in_columns
from noisefold.noise.categories import Categories
from noisefold.pretrained import PACKAGED
from noisefold.sample import ChainBound, GeodesicFlow, LikelihoodMethod, LogProb
from noisefold.sample.completion import complete
from noisefold.sample.conditional_likelihood import log_prob_in_units
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.defaults import method_for
from noisefold.sample.draw import SampleCallback
from noisefold.sample.frames import Labels, Nodes, Properties, labels_in
from noisefold.sample.samples import draw_samples
from noisefold.sample.sampling import Sampling, SamplingOptions
from noisefold.train.batches import Batches
from noisefold.train.device import autocast, is_main
from noisefold.train.lock import run_lock
from noisefold.train.loop import train
from noisefold.train.settings import Training, TrainingOptions
from noisefold.train.skill import SkillByLevel, measure_skill
from noisefold.train.validation import repeated

__all__ = ["PACKAGED", "Model"]

Setting = bool | int | float | str | Sequence[Any] | Mapping[str, Any] | None


class Model(ModelState):
    """A generative model of geometric graphs: fit, sample, complete, evaluate, report, save, load.

    What it is made of, its parameters and attributes, stands in `noisefold.model_state.ModelState`.
    """

    @classmethod
    def for_data(
        cls,
        data: Graphs,
        seed: int = 0,
        for_completion: bool = False,
        transform: Transform | None = None,
        independent_samples: int | None = None,
        variable: str | None = None,
        **net: Setting,
    ) -> Model:
        """Return a model with sensible defaults for a data set, as ``noisefold train`` makes it.

        Parameters
        ----------
        data, seed, for_completion
            The data set; what first weights and training follow from; whether to condition on known values.
        transform, variable
            Transformation of features, and what is generated; None leaves them to `noisefold.domains`.
        independent_samples
            How many independent samples the graphs were cut from, 1 for the patches of one tissue; None: what
            the domain knows, or else as many as there are graphs.
        **net
            Arguments of the network; those of the network within `noisefold.nn.KrigingResidual`, if that is
            it.
        """
        data = named_classes(data)
        request = Request(for_completion, independent_samples, seed, net, (), transform, variable)
        return cls.of_recipe(recipe_for(data, request))

    def fit(
        self,
        train_data: Graphs,
        val: Graphs | None = None,
        *,
        out: str | Path | None = None,
        resume: bool = False,
        settings: Training | None = None,
        on_step: Callable[[int], None] | None = None,
        **options: Unpack[TrainingOptions],
    ) -> Model:
        """Train on a data set.

        Parameters
        ----------
        train_data, val
            Data in their own units: graphs, or whole tissues, of which the network sees patches.
        out, resume
            Run folder, of configuration, log, checkpoints and model; whether to continue the run in it.
        settings, **options
            How to train, None: as the model's recipe says; and fields of `noisefold.Training` that win.
        on_step
            Called with the number of steps done.

        Raises
        ------
        ValueError
            If data, settings and model do not fit together.
        noisefold.train.TrainingError
            If the loss stops being finite; the model keeps the last sound weights.
        """
        settings = (settings or self.training).changed(options)
        graphs = self.training_graphs(train_data)
        held = None if val is None else self.test_graphs(val)
        self.summary = self.summary or DataSummary.fit(graphs, self.transform)
        if settings.nodes is not None and (self.transform is None or self.transform.thins):
            self.summary = replace(self.summary, sizes=(settings.nodes,))
        self.coupling, self.training = type(settings.coupling).__name__, settings
        folder = None if out is None else Path(out)
        with run_lock(folder, wanted=is_main()):
            self._write_plan(folder, finished=False)
            train(
                self.denoiser,
                self.units.once(graphs),
                settings,
                val=None if held is None else repeated(self.units.once(held)),
                out=folder,
                resume=resume,
                on_step=on_step,
                transform=self.units,
            )
            self._write_plan(folder, finished=True)
        return self

    def sample(
        self,
        count: int | range,
        *,
        nodes: Nodes = None,
        like: Graphs | None = None,
        labels: Labels = None,
        properties: Properties = None,
        callback: SampleCallback | None = None,
        sampling: Sampling | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Graphs:
        """Generate graphs, where `like` lies or on the CPU; sample i follows from (seed, i) alone.

        Parameters
        ----------
        count
            How many, or the numbers i of the samples.
        nodes, like
            Nodes of each, or of all, default as in training; or graphs that give what is not generated
            (positions for features) and the sizes, cycled through.
        labels, properties
            Class of each, or of all, and properties by name, {} for any; default as in the training data.
        callback
            Called after every step of the first batch with (step, signal level u, graphs).
        sampling, **options
            How to draw, and fields of `noisefold.sample.Sampling` that win, such as ``steps=50``.

        Raises
        ------
        ValueError
            If an argument is out of its range, or the model was not trained.
        """
        how = self.sampled_by(sampling, options)
        frame = None if like is None else self.prepared(like.replace(label=None))
        if labels is None and like is not None and like.label is not None and self.conditional:
            labels = labels_in(like, self.classes)
        numbers = count if isinstance(count, range) else range(whole("count", count, 1))
        conditions = self.conditions_for(labels, properties, numbers, how.seed)
        with torch.no_grad(), autocast(how.precision, self.device):
            made = draw_samples(
                self.denoiser,
                self.units,
                self.data,
                numbers,
                how,
                nodes=nodes,
                like=frame,
                **conditions,
                tile=self.tile,
                callback=callback,
            )
        return made if like is None else made.rebased(like.origin)

    def complete(
        self,
        graphs: Graphs,
        known: Tensor | Categories,
        *,
        draws: int = 32,
        keep: bool = True,
        labels: Labels = None,
        method: Conditioning | None = None,
        sampling: Sampling | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Any:
        """Draw what is not observed of graphs of any size; draw j of graph i follows from (seed, i, j) alone.

        The answer is a `noisefold.sample.Completion`, or a `GraphCompletion` of discrete graphs.

        Parameters
        ----------
        graphs
            Graphs with all their nodes. What is not observed may hold anything, NaN as well.
        known
            Which nodes ``[n]``, or which entries ``[n, d]`` of the generated variable, are observed; bool. Of
            discrete graphs: which nodes, with all edges between them, or `noisefold.noise.Categories`.
        draws, keep
            How many, of each graph; whether they are kept, and not only their mean and standard deviation.
        labels
            Class of each graph, or of all, by number or name; default the graphs' own, where the model knows
            it, or none.
        method
            How to condition on what is observed; default `noisefold.sample.Amortized` for a model for
            completion, else `noisefold.sample.default_conditioning`.
        sampling, **options
            As for `sample`.

        Raises
        ------
        ValueError
            If an argument is out of its range, the model was not trained, or it cannot be conditioned so.
        """
        how = self.sampled_by(sampling, options)
        method = method_for(method, self.for_completion, self.coupling, self.path, self.variable)
        if labels is None and self.conditional:
            labels = labels_in(graphs, self.classes)
        chosen = self.labels_for(labels, len(graphs), 0)
        matched = self.prepared(graphs.replace(label=None))
        known = in_columns(known, graphs, matched)
        matched = matched.replace(label=chosen, classes=() if chosen is None else self.classes)
        with autocast(how.precision, self.device):
            return complete(
                self.denoiser, self.units, matched, known, method, how, draws=draws, keep=keep, tile=self.tile
            )

    def evaluate(
        self,
        test: Graphs,
        *,
        train: Graphs | None = None,
        draws: int | None = None,
        metrics: Sequence[str] | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Scores:
        """Return scores of generated graphs against a test set, beside those of the trivial baselines.

        Parameters
        ----------
        test, train
            Held-out and, for the reference row, training data.
        draws, metrics
            How many to generate, default as many as the test set has, or for features half of them; which
            scores, default all that apply.
        **options
            Fields of `noisefold.sample.Sampling`, such as ``steps=50``; all resampling takes its seed, too.

        Raises
        ------
        ValueError
            If a metric is unknown or does not apply, a set is too small, or the model was not trained.
        """
        score = domain_of(test, self.variable).score
        seen, unseen = None if train is None else self.training_graphs(train), self.test_graphs(test)
        how: dict[str, Any] = {"seed": 0, **options}
        return score(self, unseen, seen, draws=draws, metrics=metrics, **how)

    def skill(
        self, test: Graphs, *, nodes: int | None = None, levels: int = 20, seed: int = 0
    ) -> SkillByLevel:
        """Return what the network explains beyond the best linear estimate, by noise level.

        Parameters
        ----------
        test, nodes, levels, seed
            Two unseen graphs or more; most nodes of each, or None; parts of the level; noise's seed.
        """
        unit = self.units.apply(self.matched(test))
        some = Batches(unit, len(test), seed, nodes).part(0, range(len(test))).graphs
        return measure_skill(self.denoiser, some, levels, seed=seed)

    def sample_for(
        self,
        test: Graphs,
        draws: int | None = None,
        *,
        like: Graphs | None = None,
        nodes: Nodes = None,
        **options: Unpack[SamplingOptions],
    ) -> Graphs:
        """Return samples to compare with a test set: of its number, classes, sizes or the model's."""
        if like is None and draws is not None and draws < len(test):  # which is often sorted, as by size
            test = test[spread(len(test), draws).to(test.device)]
        if like is None and nodes is None and self.data.frames is None:
            sizes = self.data.sizes
            nodes = list(sizes) if len(set(sizes)) == 1 else test.sizes.tolist()
        return self.sample(draws or len(test), like=like, nodes=nodes, **self.conditions_in(test), **options)

    def log_prob(
        self,
        graphs: Graphs,
        *,
        known: Tensor | None = None,
        route: str | None = None,
        method: LikelihoodMethod | ChainBound | GeodesicFlow | None = None,
        guidance: float = 1.0,
        seed: int = 0,
        batch: int = 64,
    ) -> LogProb:
        """Return the log-densities of graphs in the data's units, in nats, with their errors.

        Parameters
        ----------
        graphs, known, route
            Graphs in the data's units, with their classes (of images rounded values, whose log-probability
            is bounded); which nodes ``[n]`` or entries ``[n, d]`` are observed, for the density of the others
            given these (`noisefold.sample.conditional_log_prob`).
        method, guidance, seed, batch
            `ProbabilityFlow`, `EvidenceBound`, `ChainBound` or `GeodesicFlow`; as for sampling.

        Raises
        ------
        ValueError
            If the path has no likelihood, or the model's transformation no known Jacobian.
        """
        self.net.eval()
        matched, known, cells = self.spread(graphs, known, seed)
        how = {"method": method, "guidance": guidance, "seed": seed, "batch": batch}
        return log_prob_in_units(self.denoiser, self.units, matched, known, route=route, **how).plus(cells)

    def report(
        self, path: str | Path, test: Graphs | None = None, train: Graphs | None = None, **shown: Any
    ) -> Path:
        """Write one self-contained page about the model and return its path.

        Parameters
        ----------
        path, test, train, **shown
            HTML file, held-out and training data, and what `noisefold.report.write_report` takes besides.
        """
        from noisefold.report import write_report  # pictures take a second to import

        unseen = None if test is None else self.test_graphs(test)
        seen = None if train is None else self.training_graphs(train)
        return write_report(path, model=self, test=unseen, train=seen, **shown)
