"""Two processes do what one does with the same global batch."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_training import (
    Moody,
    assert_same_run,
    assert_same_state,
    data,
    denoiser,
    latents,
    newest,
    settings,
    timeless,
)
from torch import Tensor, nn

from noisefold.train import Training, read_log, train

HERE = Path(__file__).parent
SOURCE = HERE.parents[1] / "src"
STOP = 5
# Forks of a process that has imported what they need; torchrun's own start is in the slow test below.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "noisefold.train.loop", "torch._dynamo"])

ENDLESS = """
import sys
from pathlib import Path
from test_processes import chosen, data, denoiser, train

out = Path(sys.argv[1])
settings = chosen(steps=100_000, checkpoint_every=100_000)
train(denoiser(), data(), settings, out=out / "run", on_step=lambda step: (out / "going").touch())
"""

# One network with every weight used, one with weights that no loss depends on.
NETS: dict[str, Callable[[], nn.Module]] = {
    "latents": latents,
    "idle": lambda: Moody(norm=False, dropout=0.0),
}


def chosen(**changes: int) -> Training:
    """Weight decay, so that an unused weight would show if its gradient were zero instead of none."""
    return settings(weight_decay=0.1, **changes)


def _launch(script: str, folder: Path) -> subprocess.Popen[str]:
    path = folder / "script.py"
    path.write_text(script)
    # As --standalone, but by number: machines without a network may not even know "localhost".
    here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    command = [sys.executable, "-m", "torch.distributed.run", *here, "--nproc-per-node=2"]
    return subprocess.Popen(
        [*command, str(path), str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(SOURCE), str(HERE)]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _both(out: Path, rank: int, port: int) -> None:
    """What each of two processes does, as torchrun would have started it."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
    os.environ.update({k: str(v) for k, v in place.items()}, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))

    def stop_one(step: int) -> None:
        if step == STOP and rank == 1:  # only one process hears of it
            os.kill(os.getpid(), signal.SIGTERM)

    for name, net in NETS.items():
        whole = denoiser(net())
        log = train(whole, data(), chosen(), val=data(1), out=out / name)
        state = {k: v.clone() for k, v in whole.net.state_dict().items()}
        save_file(state, out / f"{name}-{rank}.safetensors")
        (out / f"{name}-{rank}.json").write_text(json.dumps(log))
        try:
            train(denoiser(net()), data(), chosen(), val=data(1), out=out / f"{name}-parts", on_step=stop_one)
        except KeyboardInterrupt:
            (out / f"{name}-stopped-{rank}").touch()
        again = train(denoiser(net()), data(), chosen(), val=data(1), out=out / f"{name}-parts", resume=True)
        (out / f"{name}-again-{rank}.json").write_text(json.dumps(again))
    train(denoiser(), data(), chosen(), val=data(1), out=out / "from-one", resume=True)


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which two processes did all that `_both` does."""
    folder: Path = tmp_path_factory.mktemp("two")

    def interrupt(step: int) -> None:
        if step == STOP:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        train(denoiser(), data(), chosen(), val=data(1), out=folder / "from-one", on_step=interrupt)
    port = _free_port()
    processes = [PROCESSES.Process(target=_both, args=(folder, rank, port)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


def _assert_close(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    # The halves of a batch are added in another order: relative errors of 2^-23 in gradients, that Adam turns
    # into such errors of its steps of 1e-2. Measured 1.3e-6 after 12 of them; a wrong gradient gives 1e-2.
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", NETS)
def test_two_processes_train_as_one(two: Path, tmp_path: Path, name: str) -> None:
    one = denoiser(NETS[name]())
    log = train(one, data(), chosen(), val=data(1), out=tmp_path)
    for rank in range(2):
        _assert_close(load_file(two / f"{name}-{rank}.safetensors"), one.net.state_dict())
        theirs = json.loads((two / f"{name}-{rank}.json").read_text())
        assert [e["step"] for e in theirs] == [e["step"] for e in log]
        for mine, other in zip(log, theirs, strict=True):
            assert other.keys() == mine.keys()
            for key in {"loss", "grad_norm", "val_loss"} & mine.keys():
                assert other[key] == pytest.approx(mine[key], rel=1e-5)


@pytest.mark.parametrize("name", NETS)
def test_processes_agree_with_each_other_to_the_bit(two: Path, name: str) -> None:
    assert_same_state(*(load_file(two / f"{name}-{rank}.safetensors") for rank in range(2)))


@pytest.mark.parametrize("name", NETS)
def test_one_process_writes_the_log_and_all_return_it(two: Path, name: str) -> None:
    written = read_log(two / name / "metrics.jsonl")
    logs = [json.loads((two / f"{name}-{rank}.json").read_text()) for rank in range(2)]
    assert written == logs[0]
    assert timeless(logs[0]) == timeless(logs[1])


@pytest.mark.parametrize("name", NETS)
def test_a_signal_to_one_stops_both_and_resume_is_exact(two: Path, name: str) -> None:
    assert all((two / f"{name}-stopped-{rank}").exists() for rank in range(2))
    assert_same_run(two / name, two / f"{name}-parts")
    whole = timeless(read_log(two / name / "metrics.jsonl"))
    assert timeless(read_log(two / f"{name}-parts" / "metrics.jsonl")) == whole
    for rank in range(2):
        assert timeless(json.loads((two / f"{name}-again-{rank}.json").read_text())) == whole


def test_two_processes_take_up_the_run_of_one(two: Path) -> None:
    for group in ("net", "average"):
        _assert_close(newest(two / "from-one").tensors[group], newest(two / "latents").tensors[group])


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_torchrun_saves_before_all_end(tmp_path: Path, number: int) -> None:
    process = _launch(ENDLESS, tmp_path)
    while not (tmp_path / "going").exists():
        assert process.poll() is None, process.communicate()[0][-3000:]
        time.sleep(0.05)
    process.send_signal(number)
    process.communicate()
    assert process.returncode != 0
    # No checkpoint was due yet: the one there is was written because of the signal.
    assert 0 < newest(tmp_path / "run").step < 100_000
    assert not list((tmp_path / "run").rglob(".staged-*"))
