"""The tables and figures of the papers and of the documentation, each as a study that can be run again.

`STUDIES` lists them by name. A study's module, and what it needs, is imported when the study is run.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["STUDIES", "Study"]


@dataclass(frozen=True)
class Study:
    """A table, a figure and their numbers, which can be made again at several scales.

    Parameters
    ----------
    name
        On the command line.
    module
        Where it is, below ``noisefold.studies``; imported when the study is run.
    description
        One sentence.
    scales
        Sizes it can be run at, smallest first.
    takes_data
        Whether it can be run on other data, given by their name or file.
    """

    name: str
    module: str
    description: str
    scales: tuple[str, ...] = ("smoke", "short", "paper")
    takes_data: bool = False

    def run(self, out: Path, scale: str, seed: int = 0, data: str | None = None) -> list[Path]:
        """Run the study, or go on with it, and return the files that it wrote.

        Parameters
        ----------
        out
            Folder of the results.
        scale
            One of `scales`.
        seed
            The first seed; the others follow it.
        data
            Name or file of other data than the study's own.

        Raises
        ------
        ValueError
            If the study has no such scale or takes no other data, if data that it needs are missing, or if
            `out` holds parts made with other settings.
        """
        module = importlib.import_module(f"noisefold.studies.{self.module}")
        files: list[Path] = module.STUDY.run(Path(out), scale, seed, data)
        return files


_SMALL = ("smoke", "short")
_FACTORS = "what schedule, target, sampler and noise contribute, beside the exact answer (figures 3 to 11)"
_RANGE = "range of greatest mutual information by noise (figure 2, corrected); or on your own data"

STUDIES: dict[str, Study] = {
    study.name: study
    for study in (
        Study("attention", "networks.attention", "attention by distance and noise level (figure 3)", _SMALL),
        Study(
            "chairs", "shapes.chairs", "the default network on chairs: quality, steps, compute by noise level"
        ),
        Study(
            "classes", "shapes.classes", "one model for ten classes of shapes: scores by class, and guidance"
        ),
        Study("conditioning", "sampling.conditioning", "error of known posteriors against cost", _SMALL),
        Study("couplings", "sampling.couplings", "fewer sampling steps by coupling noise and data"),
        Study("cyclones", "functions.cyclones", "cyclone tracks on the sphere, beside Gaussian baselines"),
        Study("depth", "networks.oversmoothing", "oversmoothing: 1 to 64 layers of messages, and a remedy"),
        Study("diffusion", "diffusion.ablation", _FACTORS, _SMALL, takes_data=True),
        Study("diffusion-graphs", "graphs.choices", "the same questions on trees, beside the exact denoiser"),
        Study("digits", "images.digits", "one model of handwritten digits: scores, and what training cost"),
        Study("dimension", "functions.dimension", "vector fields in one to four dimensions, and symmetry"),
        Study("few-steps", "sampling.few_steps", "distilled models of one to four steps, beside solvers"),
        Study("fields", "functions.fields", "random vector fields: equivariance, graph and number of fields"),
        Study(
            "function-ablation",
            "functions.ablation",
            "functions: limiting noise, its length-scale and the prediction, exactly and learned",
        ),
        Study("graphs", "graphs.benchmarks", "benchmarks of discrete graphs after minutes of training"),
        Study("graph-samplers", "graphs.samplers", "samplers of graphs, each with an exact denoiser", _SMALL),
        Study("image-classifier", "images.classifier", "trains the classifier that scores digits", _SMALL),
        Study("images", "images.patches", "patches by noise level, targets and base estimates on images"),
        Study(
            "molecules", "graphs.molecules", "QM9: levels, samplers and constraints after minutes of training"
        ),
        Study("noise", "neighbors.correlated_noise", "range under white and correlated noise", _SMALL),
        Study("optimizers", "networks.optimizers", "AdamW and Muon at equal time, on each kind of data"),
        Study("plans", "networks.plans", "losses that short trainings foretell against those that came"),
        Study(
            "pretrained", "shapes.pretrained", "trains, scores and describes the model shipped in the package"
        ),
        Study("range", "neighbors.range", _RANGE, _SMALL, takes_data=True),
        Study("regression", "functions.regression", "functions on the line beside exact likelihoods"),
        Study(
            "resolution",
            "neighbors.resolution",
            "how coarsely to look at noisy shapes (figures 4, 10)",
            _SMALL,
        ),
        Study("scaling", "networks.scaling", "what more compute, parameters and data buy, and forecasts"),
        Study("schedules", "networks.schedules", "adaptive schedules at equal training time", _SMALL),
        Study(
            "shapes", "shapes.architectures", "NCGN on ModelNet: graphs and schedules at equal training time"
        ),
        Study("solvers", "sampling.solvers", "error of the sampled distribution by evaluations", _SMALL),
        Study("speedrun", "shapes.speedrun", "how little computing time it takes to learn chairs"),
        Study("tissue", "transcriptomics.tissues", "real tissues: missing regions, genes, values and stages"),
        Study(
            "transcriptomics", "transcriptomics.limb_bud", "NCGN on a limb bud: generate, forecast, impute"
        ),
        Study("winds", "functions.winds", "currents from stations: fitted Gaussian processes and networks"),
    )
}
"""All studies by name."""
