"""Timing of several ways in turn, and the file that results land in."""

import json
import statistics
import sys
import time
from pathlib import Path

from noisefold.studies.kit.experiment import provenance
from noisefold.train.checkpoint import atomic_text

FILE = Path(__file__).parents[1] / "docs" / "results" / "benchmarks.json"


def measure(ways, repeats, warm=1):
    """Median milliseconds of each way, taken in turn, so that a busy machine disturbs all alike."""
    times = {name: [] for name in ways}
    for i in range(repeats + warm):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            if i >= warm:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def record(parts, path=FILE):
    """Put the results of some parts in the file, each with its command, commit and device; others stay."""
    known = json.loads(path.read_text()) if path.exists() else {}
    made = provenance("python " + " ".join(["benchmarks/" + Path(sys.argv[0]).name, *sys.argv[1:]]))
    known |= {name: {"made": made, **result} for name, result in parts.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_text(path, json.dumps(known, indent=1) + "\n")
