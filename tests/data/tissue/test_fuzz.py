"""Mutated .h5ad files: read as they are, or refused in one sentence that names the file."""

import os
import re
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import rewritten
from made_tissues import tissue

from noisefold.data import load
from noisefold.geometry.graphs import Graphs

SECONDS, MEGABYTES = 5, 1024


def source(path):
    """A small file with sparse and dense matrices, text, categories and compression."""
    data = tissue()
    data.raw = data
    data.layers["dense"] = data.X.toarray()
    data.write_h5ad(path, compression="gzip")
    return path.read_bytes()


def mutated(content, rng):
    """Content with one kind of damage."""
    data = bytearray(content)
    kind = rng.integers(7)
    if kind == 0:
        return bytes(data[: rng.integers(len(data))])
    if kind == 1:
        for place in rng.integers(len(data), size=rng.integers(1, 30)):
            data[place] ^= 1 << int(rng.integers(8))
    elif kind == 2:  # the head of the file and of its first objects
        for place in rng.integers(min(4096, len(data)), size=rng.integers(1, 8)):
            data[place] = rng.integers(256)
    elif kind == 3:  # counts and offsets become huge
        place = int(rng.integers(len(data) - 8))
        data[place : place + 8] = int(rng.integers(2**62)).to_bytes(8, "little")
    elif kind == 4:
        start, size = int(rng.integers(len(data))), int(rng.integers(1, 2000))
        data[start : start + size] = bytes(len(data[start : start + size]))
    elif kind == 5:
        a, b, size = (int(v) for v in (*rng.integers(len(data) - 64, size=2), rng.integers(1, 64)))
        data[a : a + size], data[b : b + size] = data[b : b + size], data[a : a + size]
    else:  # text in the wrong encoding
        for place in [m.start() for m in re.finditer(rb"[a-z]{3}", content)][:: int(rng.integers(1, 40))]:
            data[place] = 0xFF
    return bytes(data)


class TooLongError(BaseException):
    """A reader did not come to an end."""


def too_long(*_):
    raise TooLongError


def battery(folder, count, seed):
    """Read this many mutants; counts of those that were read, and of those refused."""
    content = source(folder / "sound.h5ad")
    read = refused = 0
    signal.signal(signal.SIGPROF, too_long)
    for i in range(count):
        rng = np.random.Generator(np.random.Philox(key=[seed, i]))
        path = folder / f"{i}.h5ad"
        if i % 4 == 3:
            path.write_bytes(content)
            rewritten(path, rng)
        else:
            path.write_bytes(mutated(content, rng))
        x = ["X", "layers/log1p", "layers/dense", "raw/X"][rng.integers(4)]
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # of the processor, which others may use as well
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                graphs = load(path, x=x, group=[None, "obs/stage"][rng.integers(2)])
            assert isinstance(graphs, Graphs)
            read += 1
        except ValueError as error:
            one_sentence = type(error) is ValueError and "\n" not in str(error)
            if not (one_sentence and str(error).startswith(f"{path}: ")):
                raise AssertionError(f"mutant {i} ends in {error!r}") from error
            refused += 1
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
        path.unlink()
    return read, refused


def main(folder, count, seed):
    read, refused = battery(Path(folder), int(count), int(seed))
    # The peak of this program's own memory: getrusage keeps that of the process which started it as well.
    status = Path("/proc/self/status").read_text()
    print(read, refused, int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) >> 10)


def run(folder, count, seed):
    """In a process of its own, since a library may crash, and its memory is measured."""
    call = [sys.executable, __file__, str(folder), str(count), str(seed)]
    # A library that runs for ever hears no signal, so that the whole process has a limit as well.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    done = subprocess.run(
        call, capture_output=True, text=True, check=False, timeout=300 + 2 * count, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return [int(v) for v in done.stdout.split()]


def check(folder, count, seed):
    read, refused, megabytes = run(folder, count, seed)
    print(f"{count} mutants: {read} read, {refused} refused, {megabytes} MB at most")
    assert read + refused == count
    assert megabytes < MEGABYTES


@pytest.mark.slow  # tests/data/test_store_fuzz.py has a dozen
@pytest.mark.skipif(sys.platform != "linux", reason="timers and the unit of memory are Linux'")
def test_fifty_mutants(tmp_path):
    check(tmp_path, 50, 0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="timers and the unit of memory are Linux'")
def test_two_thousand_mutants(tmp_path, capsys):
    with capsys.disabled():
        check(tmp_path, 2000, 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
