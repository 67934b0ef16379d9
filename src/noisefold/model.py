"""The one class a user needs: a network, a path, a target and what is noised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from huggingface_hub import ModelHubMixin
from safetensors import SafetensorError
from torch import Tensor, nn

from noisefold.configuration import __version__, decode, encode
from noisefold.eval.cloud_scores import CLOUD_METRICS, score_clouds
from noisefold.eval.field_scores import score_fields
from noisefold.eval.score_table import Scores
from noisefold.geometry.chunks import is_large
from noisefold.geometry.graphs import Graphs
from noisefold.geometry.scaling import Scaling
from noisefold.geometry.transform import Chain, Transform
from noisefold.nn.defaults import default_net
from noisefold.nn.denoiser import Denoiser, classes_of
from noisefold.noise.gaussian import Gaussian
from noisefold.noise.source import Streams, seeded
from noisefold.noise.target import Target
from noisefold.pretrained import FORMAT, PACKAGED, folder_of, read_model, upgraded, write_model
from noisefold.progress import progress
from noisefold.sample.completion import Completion, complete
from noisefold.sample.conditioning import Conditioning
from noisefold.sample.defaults import default_solver, method_for
from noisefold.sample.draw import SampleCallback, default_grid, generate
from noisefold.sample.frames import Labels, Nodes, frames_of, labels_in, labels_of
from noisefold.sample.grid import Grid
from noisefold.sample.solver import Heun, Solver
from noisefold.train.batches import Batches
from noisefold.train.checkpoint import Checkpoints, atomic_text
from noisefold.train.device import autocast, is_main
from noisefold.train.loop import train
from noisefold.train.settings import Training
from noisefold.train.skill import SkillByLevel, measure_skill

__all__ = ["PACKAGED", "Model"]


class Model(ModelHubMixin, library_name="noisefold", tags=["point-clouds", "diffusion", "flow-matching"]):
    """A generative model of geometric graphs.

    Parameters
    ----------
    net
        ``net(graphs, log_snr [g], label) -> [n, d]``; see `noisefold.nn`.
    path
        How data becomes noise; default flow matching.
    target
        What the network predicts, by name or in full.
    noised
        "pos" or "x": the variable that is generated. The other one is given.
    scaling
        Standardisation; measured by `fit` when it is None.
    sizes
        Numbers of nodes that samples may have, drawn from when none is asked for.
    classes, class_weights
        Names and shares of the classes of the training data.
    informed
        Whether the network is told what is known, learns from random masks (`noisefold.train.Masks`), and
        completes by `noisefold.sample.Amortized`. It then sees as many features more as there are columns of
        the noised variable.
    coupling
        Name of the coupling that it was trained under; set by `fit`, and "" if that is not known.
    transform
        Applied to features before the standardisation and undone after it, such as
        `noisefold.data.Expression` of counts; None leaves them as they are.
    feature_names
        Names of the features, such as genes, by which data are matched to the model.
    """

    def __init__(
        self,
        net: nn.Module,
        path: Gaussian | None = None,
        target: Target | str = "velocity",
        variable: str = "pos",
        scaling: Scaling | None = None,
        sizes: Sequence[int] = (),
        classes: Sequence[str] = (),
        class_weights: Sequence[float] = (),
        for_completion: bool = False,
        coupling: str = "",
        transform: Transform | None = None,
        feature_names: Sequence[str] = (),
    ) -> None:
        target = Target(target) if isinstance(target, str) else target
        self.denoiser = Denoiser(net, path or Gaussian(), target, variable, for_completion)
        self.coupling = coupling
        self.scaling = scaling
        self.sizes = tuple(sizes)
        self.classes = tuple(classes)
        self.class_weights = tuple(class_weights)
        self.transform = transform
        self.feature_names = tuple(feature_names)

    # -- what it is --------------------------------------------------------------------------------------

    @property
    def net(self) -> nn.Module:
        """The network."""
        return self.denoiser.net

    @property
    def path(self) -> Gaussian:
        """The path from data to noise."""
        return self.denoiser.path

    @property
    def target(self) -> Target:
        """What the network predicts."""
        return self.denoiser.target

    @property
    def variable(self) -> str:
        """The variable that is generated."""
        return self.denoiser.variable

    @property
    def for_completion(self) -> bool:
        """Whether the network is told what is known."""
        return self.denoiser.for_completion

    @property
    def conditional(self) -> bool:
        """Whether the network takes classes."""
        return bool(classes_of(self.net))

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return self.denoiser.device

    @property
    def num_parameters(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.net.parameters())

    @property
    def units(self) -> Chain:
        """From the units of the data to those of the network: the transformation, then the standardisation.

        Raises
        ------
        ValueError
            If the model was not trained.
        """
        if self.scaling is None:
            raise ValueError("the model has not seen data yet; call fit first.")
        return Chain((self.scaling,) if self.transform is None else (self.transform, self.scaling))

    def to(self, device: torch.device | str) -> Model:
        """Move the network to a device."""
        self.net.to(device)
        return self

    def __repr__(self) -> str:
        return (
            f"Model({type(self.net).__name__}, {self.num_parameters:,} parameters, {self.path.schedule!r}, "
            f"target={self.target.name!r}, variable={self.variable!r})"
        )

    @classmethod
    def for_data(
        cls,
        data: Graphs,
        seed: int = 0,
        for_completion: bool = False,
        transform: Transform | None = None,
        feature_names: Sequence[str] = (),
        fields: int | None = None,
        **net: Any,
    ) -> Model:
        """A model with sensible defaults for a data set.

        Positions are generated, with `noisefold.nn.Latents`; or features if there are any, with
        `noisefold.nn.SetTransformer` (with `Latents` where a graph has more than 2,000 nodes). An informed
        model of features from fewer than 20 independent fields has `noisefold.nn.KrigingResidual` around a
        small `SetTransformer`, which `fit` measures first.

        Parameters
        ----------
        data
            The data set, in its own units.
        seed
            The first weights follow from it.
        informed
            Whether the model learns to be told what is known.
        transform, feature_names
            As of `noisefold.Model`.
        fields
            How many independent fields the graphs were cut from, 1 for the patches of one tissue; None: as
            many as there are graphs.
        **net
            Arguments of the network; those of the `SetTransformer` where that is within `KrigingResidual`.
        """
        unit = data
        if transform is not None and not is_large(data):
            unit = transform.apply(data)
        elif transform is not None:  # its shape says all that a network is chosen by
            x = transform.apply(data[:1]).x
            unit = data if x is None else data.replace(x=x[:1].expand(data.num_nodes, -1))
        with seeded(seed):
            model = cls(
                default_net(unit, for_completion, fields, **net),
                variable="x" if data.features else "pos",
                for_completion=for_completion,
                transform=transform,
                feature_names=feature_names,
            )
        model._adopt(data)
        return model

    def _adopt(self, data: Graphs) -> None:
        """Remember of a data set what sampling needs."""
        names, features = self.feature_names, data.features
        if names and len(names) != features:
            raise ValueError(f"feature_names has {len(names)} names, but the data have {features} features.")
        self.scaling = self.scaling or Scaling.fit(data, transform=self.transform)
        self.sizes = self.sizes or tuple(sorted(data.sizes.tolist())[:: max(1, len(data) // 256)])
        if data.label is not None and not self.classes:
            count = len(data.classes) or int(data.label.max()) + 1
            self.classes = data.classes or tuple(str(i) for i in range(count))
            shares = torch.bincount(data.label, minlength=count).double() / len(data)
            self.class_weights = tuple(shares.tolist())

    # -- learning ----------------------------------------------------------------------------------------

    def fit(
        self,
        train_data: Graphs,
        val: Graphs | None = None,
        *,
        out: str | Path | None = None,
        resume: bool = False,
        settings: Training | None = None,
        on_step: Callable[[int], None] | None = None,
        **changes: Any,
    ) -> Model:
        """Train on a data set.

        Parameters
        ----------
        train_data, val
            Graphs in the data's own units; the model standardises them.
        out
            Run folder; holds configuration, log, checkpoints and, at the end, the model.
        resume
            Continue the run in `out`, bit for bit, if there is one.
        settings
            How to train; any of its fields may also be given as a keyword, such as ``steps=20_000``.
        on_step
            Called with the number of steps done.

        Raises
        ------
        ValueError
            If data, settings and model do not fit together.
        noisefold.train.TrainingError
            If the loss stops being finite.
        """
        unknown = changes.keys() - Training.__dataclass_fields__.keys()
        if unknown:
            known = ", ".join(Training.__dataclass_fields__)
            raise ValueError(
                f"fit has no argument {sorted(unknown)[0]!r}; known are val, out, resume, {known}."
            )
        settings = replace(settings or Training(), **changes)
        self._adopt(train_data)
        if settings.nodes is not None:
            self.sizes = (settings.nodes,)
        self.coupling = type(settings.coupling).__name__
        folder = None if out is None else Path(out)
        if folder is not None and is_main():
            folder.mkdir(parents=True, exist_ok=True)
            if not Checkpoints(folder / "checkpoints").steps():
                self._write_plan(folder, settings)
        train(
            self.denoiser,
            train_data,
            settings,
            val=val,
            out=folder,
            resume=resume,
            on_step=on_step,
            transform=self.units,
        )
        if folder is not None and is_main():
            self._write_plan(folder, settings)
            self.save_pretrained(folder / "model")
        return self

    def _write_plan(self, folder: Path, settings: Training) -> None:
        named = ("net", "path", "target", "variable", "for_completion")
        parts = {k: self.config()["model"][k] for k in named}
        plan = {"noisefold": __version__, **parts, "training": encode(settings)}
        atomic_text(folder / "config.yaml", yaml.safe_dump(plan, sort_keys=False))

    # -- generating --------------------------------------------------------------------------------------

    @torch.no_grad()
    def sample(
        self,
        count: int,
        *,
        nodes: Nodes = None,
        like: Graphs | None = None,
        labels: Labels = None,
        guidance: float = 1.0,
        steps: int = 50,
        solver: Solver | None = None,
        grid: Grid | None = None,
        seed: int = 0,
        batch: int = 64,
        precision: str = "float32",
        callback: SampleCallback | None = None,
    ) -> Graphs:
        """Generate graphs.

        Sample i is a function of (seed, i) alone: neither `count`, nor `batch`, nor the device changes it (up
        to rounding).

        Parameters
        ----------
        count
            How many.
        nodes
            Nodes of each, or of all; default as in the training data.
        like
            Graphs that give what is not generated (positions for features) and the sizes, cycled through.
        labels
            Class of each, or of all, by number or name; default drawn as in the training data.
        guidance
            Weight of classifier-free guidance; 1 is none.
        steps
            Steps of the solver.
        solver, grid
            Default Heun; times uniform, or even in log-SNR for solvers of order 2 on VP and cosine paths.
        seed
            The seed.
        batch
            Graphs at a time; only speed and memory depend on it.
        precision
            "float32", or "bfloat16": the matrix products of the network in half of the bits, faster on most
            devices.
        watch
            Called after every step of the first batch with (step, signal level u, graphs).

        Raises
        ------
        ValueError
            If an argument is out of its range, or the model was not trained.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}.")
        units = self.units
        if self.variable == "x" and like is None:
            raise ValueError("this model generates features on given positions; give them as like=graphs.")
        chosen = self._labels(labels, count, seed)
        solver = solver or Heun()
        times = (grid or default_grid(self.path, solver))(self.path, steps)
        assert self.scaling is not None
        scaling = self.scaling

        def seen(step: int, signal: float, graphs: Graphs) -> None:
            if callback is not None:
                callback(step, signal, units.undo(graphs))

        self.net.eval()
        parts = []
        with progress("sampling", count) as advance, autocast(precision, self.device):
            for start in range(0, count, batch):
                indices = range(start, min(start + batch, count))
                shape = frames_of(indices, nodes, like, self.sizes, len(scaling.pos_mean), seed)
                if chosen is not None:
                    shape = shape.replace(label=chosen[list(indices)], classes=self.classes)
                if self.variable == "x":  # drawn whatever stands there, which may be nothing at all
                    blank = shape.pos.new_zeros(shape.num_nodes, len(scaling.x_mean))
                    graphs = scaling.apply(shape.replace(x=blank)).to(self.device)
                else:
                    graphs = units.apply(shape).to(self.device)
                streams = Streams(seed, [2 * i for i in indices])
                made = generate(
                    self.denoiser,
                    graphs,
                    times,
                    solver,
                    streams,
                    guidance=guidance,
                    callback=seen if start == 0 else None,
                )
                parts.append(units.undo(made))
                advance(len(indices), "")
        return Graphs.collate(parts)

    def _labels(self, labels: Labels, count: int, seed: int) -> Tensor | None:
        if self.conditional:
            return labels_of(labels, count, self.classes, self.class_weights, seed)
        if labels is not None:
            raise ValueError("labels were given, but this model was trained without classes.")
        return None

    def complete(
        self,
        graphs: Graphs,
        known: Tensor,
        *,
        draws: int = 32,
        labels: Labels = None,
        steps: int = 20,
        method: Conditioning | None = None,
        solver: Solver | None = None,
        grid: Grid | None = None,
        precision: str = "float32",
        **sampling: Any,
    ) -> Completion:
        """Draw what is not known of graphs, given what is.

        Draw j of graph i is a function of (seed, i, j) alone (up to rounding).

        Parameters
        ----------
        graphs
            Graphs with all their nodes. What is not known may hold anything, NaN as well.
        known
            Which nodes ``[n]``, or which entries ``[n, d]`` of the noised variable, are known; bool.
        draws
            How many, of each graph.
        labels
            Class of each graph, or of all, by number or name; default the graphs' own, or none.
        steps, method
            Steps of the solver, and how it is told what is known; default `noisefold.sample.Amortized` for
            an informed model, `noisefold.sample.LangevinCorrection` for features under white noise, else
            `noisefold.sample.Repaint`.
        solver, grid
            Default Heun for informed models, DDIM for all ways that draw again and again; the grid as for
            `sample`.
        precision
            As for `sample`.
        **sampling
            `guidance`, `seed` and `batch`, as for `sample`.

        Raises
        ------
        ValueError
            If an argument is out of its range, the model was not trained, or it cannot be conditioned so.
        """
        units = self.units
        method = method_for(method, self.for_completion, self.coupling, self.path, self.variable)
        if labels is None and self.conditional:
            labels = labels_in(graphs)
        chosen = self._labels(labels, len(graphs), 0)
        solver = solver or default_solver(method)
        self.net.eval()
        with autocast(precision, self.device):
            return complete(
                self.denoiser,
                units,
                graphs.replace(label=chosen, classes=() if chosen is None else self.classes),
                known,
                (grid or default_grid(self.path, solver))(self.path, steps),
                solver,
                method,
                draws=draws,
                **sampling,
            )

    # -- judging -----------------------------------------------------------------------------------------

    def evaluate(
        self,
        test: Graphs,
        *,
        train: Graphs | None = None,
        draws: int | None = None,
        metrics: Sequence[str] | None = None,
        seed: int = 0,
        **sampling: Any,
    ) -> Scores:
        """Scores of generated graphs against a test set, beside those of the trivial baselines.

        Clouds are compared by `score_clouds`; features, generated on the positions of the test graphs, by
        `score_fields`, which takes half of the test set for its reference.

        Parameters
        ----------
        test, train
            Held-out and, for the reference row, training graphs.
        draws
            How many to generate; default as many as the test set has, or for features half of them.
        metrics
            Which scores; default all that apply. Those under EMD take nine tenths of the time.
        seed
            Of the samples and of all resampling.
        **sampling
            Passed to `sample`.

        Raises
        ------
        ValueError
            If a metric is unknown or does not apply, a set is too small, or the model was not trained.
        """
        if self.variable == "x":
            half = test[::2]
            generated = self.sample_for(half, draws, seed=seed, **{"like": half, **sampling})
            return score_fields(generated, test, train, metrics=metrics, seed=seed)
        metrics = CLOUD_METRICS if metrics is None else metrics
        generated = self.sample_for(test, draws, seed=seed, **sampling)
        return score_clouds(generated, test, train, metrics=metrics, seed=seed)

    def profile(
        self, test: Graphs, *, nodes: int | None = None, levels: int = 20, seed: int = 0
    ) -> SkillByLevel:
        """What the network explains beyond the best linear estimate, by noise level.

        Parameters
        ----------
        test
            Graphs that training has not seen, in the data's own units.
        nodes
            Most nodes taken of each graph, at random; None takes all.
        levels
            Equal parts of the signal level.
        seed
            Of the noise and the nodes.

        Raises
        ------
        ValueError
            If there are fewer than two graphs, or the model was not trained.
        """
        unit = Batches(self.units.apply(test), len(test), seed, nodes).part(0, range(len(test))).graphs
        return measure_skill(self.denoiser, unit, levels, seed=seed)

    def sample_for(self, test: Graphs, draws: int | None = None, **sampling: Any) -> Graphs:
        """Samples to compare with a test set: of its number, classes and, unless the model knows one, sizes.

        Keywords go to `sample` and win.
        """
        chosen: dict[str, Any] = {}
        if self.conditional and test.label is not None:
            chosen["labels"] = test.label.tolist()
        if "like" not in sampling:
            chosen["nodes"] = list(self.sizes) if len(set(self.sizes)) == 1 else test.sizes.tolist()
        return self.sample(draws or len(test), **{**chosen, **sampling})

    # -- keeping -----------------------------------------------------------------------------------------

    def config(self) -> dict[str, Any]:
        """Everything but the weights, as plain data.

        Raises
        ------
        ValueError
            If the network was built with something that cannot be written down, such as a function.
        """
        return {
            "format": FORMAT,
            "model": {
                "net": encode(self.net),
                "path": encode(self.path),
                "target": encode(self.target),
                "variable": self.variable,
                "scaling": encode(self.scaling),
                "sizes": list(self.sizes),
                "classes": list(self.classes),
                "class_weights": list(self.class_weights),
                "for_completion": self.for_completion,
                "coupling": self.coupling,
                "transform": encode(self.transform),
                "feature_names": list(self.feature_names),
            },
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Model:
        """An untrained model of a configuration."""
        return cls(**decode(upgraded(config)["model"]))

    def save_pretrained(
        self, save_directory: str | Path, *, push_to_hub: bool = False, repo_id: str | None = None, **hub: Any
    ) -> str | None:
        """Write ``model.safetensors`` and ``config.json`` into a folder, each whole or not at all.

        Parameters
        ----------
        save_directory
            The folder; a model that is there already is replaced.
        push_to_hub, repo_id, **hub
            Whether to upload it too, under which name, and what else `huggingface_hub` should know.

        Raises
        ------
        ValueError
            If the network was built with something that cannot be written down, such as a function.
        """
        folder = Path(save_directory)
        write_model(folder, self.config(), self.net.state_dict())
        return self.push_to_hub(repo_id or folder.name, **hub) if push_to_hub else None

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls, name: str | Path, *, download: bool = False, device: str = "cpu", **hub: Any
    ) -> Model:
        """A saved model: a folder, a model within the package ("noisefold/shapes"), or one on the hub.

        Parameters
        ----------
        name
            Folder, or name.
        download
            Whether the hub may be asked; nothing is fetched otherwise.
        device
            Where to put the network.
        **hub
            Passed on to `huggingface_hub`, such as ``revision``.

        Raises
        ------
        FileNotFoundError
            If there is no such model here and `download` was not asked for.
        ValueError
            If its files cannot be read.
        """
        folder = folder_of(name)
        if folder is not None:
            return cls._load(folder).to(device)
        if not download:
            raise FileNotFoundError(
                f"{name} holds no model (config.json); give a folder that save_pretrained wrote, "
                f"one of {', '.join(PACKAGED)}, or download=True to ask the hub."
            )
        model: Model = super().from_pretrained(str(name), **hub)
        return model.to(device)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **hub: Any) -> Model:
        from huggingface_hub import snapshot_download

        allowed = {k: v for k, v in hub.items() if k in ("revision", "cache_dir", "force_download", "token")}
        return cls._load(Path(snapshot_download(model_id, **allowed)))

    @classmethod
    def _load(cls, folder: Path) -> Model:
        try:
            config, state = read_model(folder)
            model = cls.from_config(config)
            model.net.load_state_dict(state)
        except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"{folder} holds a model that cannot be read: {reason}") from error
        model.net.eval()
        return model
