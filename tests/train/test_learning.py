"""What a network measures for itself: once, before the first step, saved, and alike in all processes."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_training import assert_same_run, assert_same_state, newest
from torch import nn

from noisefold.geometry.graphs import Graphs
from noisefold.nn import Denoiser, Fittable, KrigingResidual, SetTransformer
from noisefold.noise import Gaussian, Target
from noisefold.train import Training, train

torch.set_num_threads(1)
HERE = Path(__file__).parent
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "noisefold.train.loop", "torch._dynamo"])
COUNT, NODES, F = 70, 12, 3


def data(seed: int = 0) -> Graphs:
    """Standardised fields of three features, smooth but for a little noise."""
    generator = torch.Generator().manual_seed(seed)
    pos = torch.rand(COUNT * NODES, 2, generator=generator) * 3
    smooth = torch.stack([(2 * pos[:, 0]).sin(), (2 * pos[:, 1]).cos(), pos.sum(1)], 1)
    x = smooth + 0.2 * torch.randn(len(pos), F, generator=generator)
    return Graphs(pos, (x - x.mean(0)) / x.std(0), torch.arange(COUNT + 1) * NODES)


def network() -> KrigingResidual:
    torch.manual_seed(0)
    return KrigingResidual(SetTransformer(2, 4 * F, F, width=16, blocks=1, heads=2), F, 2, kernels=1)


def denoiser(net: nn.Module) -> Denoiser:
    return Denoiser(net, Gaussian(), Target(), "x", for_completion=True)


def settings(**changes: object) -> Training:
    usual = {"steps": 6, "batch": 4, "warmup": 1, "ema": 0.8, "lr": 1e-2, "checkpoint_every": 1, "keep": 9}
    return Training(**{**usual, **changes})


def measured(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in state.items() if not name.startswith("net.")}


class Counted(nn.Module):
    """Remembers what it was given to measure."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * F, F)
        self.register_buffer("learned", torch.tensor(False))
        self.seen: list[Graphs] = []

    def learn(self, graphs: Graphs) -> None:
        self.seen.append(graphs)
        self.learned.fill_(True)

    def forward(self, graphs, log_snr, label=None):
        return self.linear(graphs.x)


def test_it_is_given_some_graphs_as_they_are_once(tmp_path: Path) -> None:
    net, graphs = Counted(), data()
    assert isinstance(net, Fittable)
    train(denoiser(net), graphs, settings(steps=2), out=tmp_path / "a")
    train(denoiser(net), graphs, settings(steps=2), out=tmp_path / "b")
    (seen,) = net.seen
    assert len(seen) == 64
    places = [next(i for i, g in enumerate(graphs.unpack()) if torch.equal(g, s)) for s in seen.unpack()]
    assert len(set(places)) == 64
    assert places != sorted(places)  # neighbouring patches are much alike
    again, other = Counted(), Counted()
    train(denoiser(again), graphs, settings(steps=1))
    train(denoiser(other), graphs, settings(steps=1, seed=1))
    assert torch.equal(again.seen[0].pos, seen.pos)
    assert not torch.equal(other.seen[0].pos, seen.pos)


def test_it_is_thinned_as_in_training() -> None:
    net = Counted()
    train(denoiser(net), data(), settings(steps=1, nodes=5))
    assert net.seen[0].uniform == 5


def test_nothing_is_measured_where_a_run_goes_on_or_is_refused(tmp_path: Path) -> None:
    train(denoiser(Counted()), data(), settings(), out=tmp_path)
    net = Counted()
    with pytest.raises(ValueError, match="holds a run"):
        train(denoiser(net), data(), settings(), out=tmp_path)
    train(denoiser(net), data(), settings(steps=7), out=tmp_path, resume=True)
    assert net.seen == []
    assert bool(net.learned)


@pytest.mark.slow
def test_averaging_leaves_what_was_measured_as_it_is(tmp_path: Path) -> None:
    net = network()
    train(denoiser(net), data(), settings(ema=0.999), out=tmp_path)
    twin = network()
    places = Counted()
    train(denoiser(places), data(), settings(steps=1))
    twin.learn(places.seen[0])
    assert bool(net.learned)
    assert float(net.prior.spread.std()) > 0  # not what it was made with
    assert_same_state(measured(net.state_dict()), measured(twin.state_dict()))
    for step in (1, 6):
        for group in ("net", "average"):
            state = load_file(tmp_path / "checkpoints" / str(step) / f"{group}.safetensors")
            assert_same_state(measured(state), measured(twin.state_dict()))


def _train(out: Path, progress: Connection) -> None:
    train(denoiser(network()), data(), settings(), out=out, resume=True, on_step=progress.send)


@pytest.mark.slow
@pytest.mark.parametrize("after", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_killed_and_taken_up_again_it_ends_with_the_same_bits(tmp_path: Path, after: int) -> None:
    """The network of the second part is a new one that has measured nothing."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_train, args=(tmp_path / "killed", there))
    process.start()
    there.close()
    while here.recv() < after:
        pass
    process.kill()
    process.join()
    train(denoiser(network()), data(), settings(), out=tmp_path / "killed", resume=True)
    train(denoiser(network()), data(), settings(), out=tmp_path / "whole")
    assert newest(tmp_path / "whole").step == 6
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


SCRIPT = """
import json, os, sys
from pathlib import Path
from safetensors.torch import save_file
from test_learning import data, denoiser, network, settings, train

out, rank = Path(sys.argv[1]), int(os.environ["RANK"])
net = network()
if rank:  # another machine may round otherwise
    learn = net.learn
    net.learn = lambda graphs: (learn(graphs), net.prior.related.mul_(1.001))
train(denoiser(net), data(), settings(), out=out / "run")
save_file({k: v.clone() for k, v in net.state_dict().items()}, out / f"{rank}.safetensors")
"""


@pytest.mark.slow
def test_processes_have_the_same_measures_to_the_bit(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [sys.executable, "-m", "torch.distributed.run", *here, "--nproc-per-node=2"]
    paths = os.pathsep.join([str(HERE.parents[1] / "src"), str(HERE)])
    done = subprocess.run(
        [*command, str(tmp_path / "script.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    first, second = (load_file(tmp_path / f"{rank}.safetensors") for rank in range(2))
    assert_same_state(first, second)
    alone = network()
    train(denoiser(alone), data(), settings())
    assert_same_state(measured(first), measured(alone.state_dict()))
