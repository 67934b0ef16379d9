"""What to take as missing of a tissue, beside NaN."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noisefold.data.tissue.region import region
from noisefold.data.tissue.tissue import Tissue
from noisefold.geometry.names import columns_of, in_any_case

__all__ = ["Missing"]


@dataclass(frozen=True)
class Missing:
    """What to take as missing: what fits all that is named.

    Parameters
    ----------
    genes
        Names.
    region
        Words, as `noisefold.data.region` reads them.
    time
        A time, in the unit of the data.
    """

    genes: tuple[str, ...] | None = None
    region: str | None = None
    time: float | None = None

    def entries(self, tissue: Tissue, source: str | Path) -> Tensor:
        """Return which values ``[n, genes]`` are named, in the tissue's order; none where nothing is.

        Raises
        ------
        ValueError
            If a gene, a column or a time is not there.
        """
        n, genes = len(tissue), len(tissue.genes)
        if self == Missing():
            return torch.zeros(n, genes, dtype=torch.bool)
        rows, columns = np.ones(n, dtype=bool), np.ones(genes, dtype=bool)
        if self.genes is not None:
            columns[:] = False
            columns[columns_of(tissue.genes, in_any_case(self.genes, tissue.genes), "gene")] = True
        if self.region is not None:
            rows &= region(self.region, tissue.pos[:, :-1] if tissue.time else tissue.pos, source)
        if self.time is not None:
            rows &= _at_time(self.time, tissue)
        return torch.from_numpy(rows[:, None] & columns)


def _at_time(time: float, tissue: Tissue) -> Any:
    if not tissue.time:
        raise ValueError(f"time {time:g} was named, but the model was trained without --time.")
    there = np.isclose(tissue.pos[:, -1], time)
    if not there.any():
        known = ", ".join(f"{t:g}" for t in np.unique(tissue.pos[:, -1])[:10])
        raise ValueError(
            f"no cell has the time {time:g}, only {known}; add cells with positions and NaN expression there."
        )
    return there
