"""Sets of graphs without positions: the generators of the benchmarks, and files of such sets."""

from noisefold.data.graph_sets.generators import community, grid, planar, sbm, tree
from noisefold.data.graph_sets.graph_set import graph_set
from noisefold.data.graph_sets.moses import moses
from noisefold.data.graph_sets.qm9 import qm9

__all__ = ["community", "graph_set", "grid", "moses", "planar", "qm9", "sbm", "tree"]
