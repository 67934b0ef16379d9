"""What commands print, and the processes they start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console

__all__ = ["console", "in_processes", "say"]

console = Console()


def say(text: str) -> None:
    """Print a line, in the first of several processes alone."""
    if int(os.environ.get("RANK", 0)) == 0:
        console.print(text, highlight=False, markup=False, soft_wrap=True)


def in_processes(devices: int, arguments: Sequence[str]) -> int:
    """Run a command line in several processes that share the work, and return the worst exit status."""
    # Addresses in numbers, since not every machine resolves its own name.
    here = ["--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--local-addr=127.0.0.1"]
    launcher = [sys.executable, "-m", "torch.distributed.run", *here, f"--nproc-per-node={devices}"]
    return subprocess.run([*launcher, "-m", "noisefold", *arguments], check=False).returncode
