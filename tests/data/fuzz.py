"""Mutated files for any reader: each is read, or refused in one sentence, soon and in little memory.

A test gives `battery` valid samples and a number of mutations. They are read in a process of their own, whose
address space may grow by 1 GiB and which is stopped after 5 s of work on one file.

    counts = battery({"a.csv": b"x,y\\n0,1\\n2,3\\n"}, count=50)

By hand: ``python tests/data/fuzz.py FOLDER COUNT SEED`` on a folder of samples.
"""

from __future__ import annotations

import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import h5py
import numpy as np
import torch

_SECONDS = 5
_MEMORY = 2**30
_REFUSALS = (ValueError, OSError, ImportError)
_TOKEN = re.compile(rb"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Hang(BaseException):
    """A file took too long."""


# -- mutations: bytes in, bytes out -------------------------------------------------------------------------


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _tail(data: bytes, rng: random.Random) -> bytes:
    return data[rng.randrange(len(data) + 1) :]


def _flip(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 8, 64])):
        out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def _block(data: bytes, rng: random.Random) -> tuple[int, int]:
    start = rng.randrange(len(data))
    return start, min(len(data), start + rng.choice([1, 4, 8, 64, 512]))


def _zeros(data: bytes, rng: random.Random) -> bytes:
    a, b = _block(data, rng)
    return data[:a] + bytes(b - a) + data[b:]


def _ones(data: bytes, rng: random.Random) -> bytes:
    a, b = _block(data, rng)
    return data[:a] + b"\xff" * (b - a) + data[b:]


def _drop(data: bytes, rng: random.Random) -> bytes:
    a, b = _block(data, rng)
    return data[:a] + data[b:]


def _again(data: bytes, rng: random.Random) -> bytes:
    a, b = _block(data, rng)
    return data[:b] + data[a:b] * rng.choice([1, 3, 50]) + data[b:]


def _garbage(data: bytes, rng: random.Random) -> bytes:
    a, b = _block(data, rng)
    return data[:a] + rng.randbytes(b - a) + data[b:]


def _lines(data: bytes, rng: random.Random) -> bytes:
    lines = data.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def _header(data: bytes, rng: random.Random) -> bytes:
    """Two words of the first 300 bytes are exchanged."""
    words = list(re.finditer(rb"[A-Za-z0-9_.<>|'-]+", data[:300]))
    if len(words) < 2:
        return _flip(data, rng)
    a, b = sorted(rng.sample(words, 2), key=lambda m: m.start())
    return data[: a.start()] + b[0] + data[a.end() : b.start()] + a[0] + data[b.end() :]


def _token(data: bytes, rng: random.Random, values: list[bytes]) -> bytes:
    found = list(_TOKEN.finditer(data[:100_000]))
    if not found:
        return _garbage(data, rng)
    one = rng.choice(found[:8] if rng.random() < 0.5 else found)
    return data[: one.start()] + rng.choice(values) + data[one.end() :]


def _huge(data: bytes, rng: random.Random) -> bytes:
    return _token(data, rng, [b"99999999", b"4294967295", b"9223372036854775807", b"-1", b"1" * 400, b"1e18"])


def _count(data: bytes, rng: random.Random) -> bytes:
    """Binary counts become huge."""
    at = rng.randrange(len(data))
    value = rng.choice([2**31 - 1, 2**32 - 1, 2**40, 2**63 - 1])
    return data[:at] + value.to_bytes(8, rng.choice(["little", "big"])) + data[at + 8 :]


def _nan(data: bytes, rng: random.Random) -> bytes:
    return _token(data, rng, [b"nan", b"inf", b"-inf", b"1e999", b"", b"NA", b"x", b"--1", b"1,5", b"0x1p3"])


def _encoded(data: bytes, rng: random.Random) -> bytes:
    text = data.decode("latin-1")
    kind = rng.choice(["utf-16", "utf-32", "utf-16-le", "utf-8-sig", "utf-8", "cp037"])
    return (text + "é").encode(kind, "replace")


def _ends(data: bytes, rng: random.Random) -> bytes:
    return data.replace(b"\n", rng.choice([b"\r", b"\r\n", b"\n\n", b"", b"\x85", b"\0"]))


def _long(data: bytes, rng: random.Random) -> bytes:
    a, _ = _block(data, rng)
    return data[:a] + rng.choice([b" ", b"9", b",", b"\n", b"(", b'"', b"#", b"a b "]) * 50_000 + data[a:]


def _empty(data: bytes, rng: random.Random) -> bytes:
    return rng.choice([b"", b"\n", b" \n\t\n", b"\0" * 100, rng.randbytes(200)])


_ON_BYTES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _cut, _tail, _flip, _flip, _zeros, _ones, _drop, _again, _garbage, _lines, _header, _header, _huge, _huge,
    _count, _count, _nan, _nan, _encoded, _ends, _long, _empty,
)  # fmt: skip


# -- in the process that reads ------------------------------------------------------------------------------


def _replaced(place: Path, sample: Path, rng: random.Random) -> str:
    """Put a link, a folder or nothing where a file or a folder is, or was to be."""
    kind = rng.choice(["itself", "nowhere", "sample", "folder", "device", "nothing"])
    if place.is_dir():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
    if kind == "folder":
        place.mkdir()
    elif kind != "nothing":
        target = {"itself": place, "nowhere": place.parent / "nowhere", "sample": sample}
        place.symlink_to(target.get(kind, Path("/dev/null")))
    return kind


def _rearranged(place: Path, files: list[Path], rng: random.Random) -> str:
    """Change what stands where in a folder that is read as one."""
    one, two = rng.choice(files), rng.choice(files)
    match kind := rng.choice(["exchanged", "copied", "renamed", "replaced", "without a folder"]):
        case "exchanged":
            a, b = one.read_bytes(), two.read_bytes()
            one.write_bytes(b)
            two.write_bytes(a)
        case "copied":
            two.write_bytes(one.read_bytes())
        case "renamed":
            one.rename(one.with_name(rng.choice(["0", "c0", "zarr.json", ".zarray", "\u00e9", one.name * 2])))
        case "replaced":
            kind = _replaced(one, place, rng)
        case _:
            shutil.rmtree(rng.choice([p for p in place.rglob("*") if p.is_dir()] or [place]))
    return kind


def rewritten(path: Path, rng: np.random.Generator) -> None:
    """Change sound HDF5 so that its parts do not fit together, or declare what is not there."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = names[rng.integers(len(names))]
        kind = rng.integers(6)
        if kind == 0:
            del file[name]
        elif kind == 1:
            del file[name]
            file[name] = rng.normal(size=(3, 3))
        elif kind == 2:
            del file[name]
            file.create_dataset(name, shape=(2**40,), dtype="f8", chunks=(1024,), compression="gzip")
        elif kind == 3:
            item = file[name]
            for key in list(item.attrs):
                item.attrs[key] = ["x", np.nan, 2**40, b"\xff\xfe"][rng.integers(4)]
        elif kind == 4:
            del file[name]
            file[name] = h5py.SoftLink("/") if rng.random() < 0.5 else h5py.ExternalLink("/dev/null", "/")
        elif isinstance(file[name], h5py.Dataset) and file[name].dtype.kind in "fiu" and file[name].shape:
            most = np.iinfo if file[name].dtype.kind in "iu" else np.finfo
            file[name][...] = [most(file[name].dtype).min, most(file[name].dtype).max, 0][rng.integers(3)]


def _mutated(sample: Path, place: Path, rng: random.Random) -> str:
    """Put a mutation of a sample, a file or a folder, in a place; its kind."""
    kind = rng.randrange(len(_ON_BYTES) + 1)
    if kind == len(_ON_BYTES):
        return _replaced(place, sample, rng)
    mutate = _ON_BYTES[kind]
    if sample.is_dir():
        shutil.copytree(sample, place)
        files = sorted(p for p in place.rglob("*") if p.is_file() and p.stat().st_size)
        if rng.random() < 0.2:
            return _rearranged(place, files, rng)
        inside = rng.choice(files)
    else:
        shutil.copy(sample, inside := place)
    if inside.suffix in (".h5", ".h5ad") and rng.random() < 0.3:
        rewritten(inside, np.random.default_rng(rng.randrange(2**63)))
        return "rewritten"
    data = inside.read_bytes()
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        data = mutate(data, rng) if data else data
    inside.write_bytes(data)
    return mutate.__name__


def _named(path: Path) -> Path:
    """What is loaded of a sample: itself, or the matrix of 10x in a folder."""
    return next((p for p in (path / "a.h5",) if path.is_dir() and p.exists()), path)


def _points(path: Path) -> int | None:
    """Points that are taken of each cloud; of pictures and of shards none are asked for."""
    from noisefold.data.shards import is_shards

    return None if path.name.startswith("picture") or is_shards(path) else 64


def _one(path: Path) -> str:
    """What became of one file: "read", "refused", or what is wrong."""
    from noisefold.data import load

    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    signal.setitimer(signal.ITIMER_REAL, 12 * _SECONDS)  # others may work on this machine
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(_named(path), points=_points(path))
        return "read"
    except Hang:
        return f"took more than {_SECONDS} s"
    except _REFUSALS as error:
        text = str(error)
        if isinstance(error, ValueError) and not (text.startswith(str(path)) and text[-1] in ".?"):
            return f"{type(error).__name__} that names no file, or is no sentence: {text!r}"
        if "\n" in text or len(text) > 1000:
            return f"more than one sentence: {text[:1000]!r}"
        return "took more than 1 GiB" if "more memory than there is" in text else "refused"
    except BaseException:
        return traceback.format_exc()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)


def _hung(*_: object) -> None:
    raise Hang


def _run(folder: Path, count: int, seed: int) -> Iterator[dict[str, str]]:
    from noisefold.data import load

    samples = sorted(folder.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for sample in samples:  # imports what readers need, and shows that samples are sound
            load(_named(sample), points=_points(sample))
    signal.signal(signal.SIGPROF, _hung)
    signal.signal(signal.SIGALRM, _hung)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.getrlimit(resource.RLIMIT_AS)[1]))
    with tempfile.TemporaryDirectory() as where:
        for sample in samples:
            rng = random.Random(f"{seed} {sample.name}")
            for i in range(count):
                place = Path(where) / str(i % 100) / sample.name
                shutil.rmtree(place.parent, ignore_errors=True)
                place.parent.mkdir()
                kind = _mutated(sample, place, rng)
                outcome = _one(place)
                if outcome not in ("read", "refused"):
                    outcome = f"{sample.name}, mutation {i} ({kind}): {outcome}"
                yield {"sample": sample.name, "outcome": outcome}


def _forked(folder: Path, count: int, seed: int) -> tuple[list[dict[str, str]], int, str]:
    """Run a battery in a fork, which need not import anything: outcomes, exit status, what it said."""
    with tempfile.TemporaryFile("w+") as told, tempfile.TemporaryFile("w+") as said:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.dup2(said.fileno(), 2)
                torch.set_num_threads(1)  # those of OpenMP do not survive a fork
                for result in _run(folder, count, seed):
                    print(json.dumps(result), file=told, flush=True)
                status = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        for stream in (told, said):
            stream.seek(0)
        return [json.loads(line) for line in told if line.endswith("\n")], status, said.read()


# -- in the process that tests ------------------------------------------------------------------------------


def battery(
    samples: Mapping[str, bytes | Mapping[str, bytes]], count: int, seed: int = 0
) -> dict[str, Counter[str]]:
    """Read `count` mutations of each sample, and return how many were read and refused.

    Parameters
    ----------
    samples
        Content of valid files by name; of a folder that is read as one (.zarr, shards, a.h5 with what stands
        beside it), its files by name.
    count
        Mutations of each.
    seed
        Mutation i is a function of the seed, the sample's name and i.

    Raises
    ------
    AssertionError
        If one raises anything but a ValueError, OSError or ImportError of one sentence, hangs, or needs more
        than 1 GiB.
    """
    with tempfile.TemporaryDirectory() as where:
        for name, content in samples.items():
            files = content if isinstance(content, Mapping) else {"": content}
            for inner, data in files.items():
                path = Path(where, name, inner) if inner else Path(where, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
        results, status, said = _forked(Path(where), count, seed)
    assert status == 0, f"status {status} after {len(results)} files: {said[-3000:]}"
    bad = [r["outcome"] for r in results if r["outcome"] not in ("read", "refused")]
    assert not bad, f"{len(bad)} of {len(results)} files; the first: " + "\n".join(bad[:3])
    counts = {name: Counter(r["outcome"] for r in results if r["sample"] == name) for name in samples}
    print({name: dict(c) for name, c in counts.items()})
    return counts


if __name__ == "__main__":
    for result in _run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])):
        print(json.dumps(result), flush=True)
