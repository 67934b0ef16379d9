"""Runs each command line that it is given in a fork of its own, so that none has to import the library.

Reads a JSON list a line: working directory, most bytes that a file may have (0: any), and words. Answers
with the number of the process when it was started, and with its exit status (below 0: a signal), its
seconds and what it said when it has ended.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import traceback
from typing import TextIO

# What commands import when they run, so that no fork has to.
import matplotlib.figure  # noqa: F401
import plotly.graph_objects  # noqa: F401
import torch
import torch._dynamo  # the first optimiser of a process imports it, which takes seconds

import noisefold.cli
import noisefold.data.convert
import noisefold.model
import noisefold.report
import noisefold.runs


def _command(folder: str, output: int, limit: int, words: list[str]) -> int:
    os.chdir(folder)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__  # those of a test are captured
    if limit:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    sys.argv = ["noisefold", *words]
    try:
        noisefold.cli.main()
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def serve(requests: TextIO, answers: TextIO) -> None:
    """Run what is asked for, until nothing more can be."""
    torch.set_num_threads(1)  # those of OpenMP do not survive a fork
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("ready", file=answers, flush=True)
    while line := requests.readline():
        folder, limit, words = json.loads(line)
        begun = time.perf_counter()
        # A pipe holds what such a command says, and is no file that a limit applies to.
        output, told = os.pipe()
        child = os.fork()
        if child == 0:
            status = 70
            try:
                status = _command(folder, told, limit, words)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                os._exit(status)
        print(child, file=answers, flush=True)
        _, status = os.waitpid(child, 0)
        seconds = time.perf_counter() - begun
        os.close(told)
        with os.fdopen(output) as stream:
            ended = [os.waitstatus_to_exitcode(status), seconds, stream.read()]
        print(json.dumps(ended), file=answers, flush=True)
