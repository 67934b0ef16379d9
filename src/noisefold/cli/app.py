"""The command line's entry.

Exit status 0 done, 1 failed, 2 misuse. What goes wrong is said in one sentence; ``--debug`` shows where.
Commands import what they need when they run, so that ``--version`` and ``--help`` answer at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from noisefold.cli.complete import complete
from noisefold.cli.convert import convert
from noisefold.cli.demo import demo
from noisefold.cli.distill import distill
from noisefold.cli.errors import report_errors, say_error, show_tracebacks
from noisefold.cli.evaluate import evaluate
from noisefold.cli.inspect import inspect
from noisefold.cli.output import say
from noisefold.cli.plan import plan
from noisefold.cli.report import report
from noisefold.cli.sample import sample
from noisefold.cli.study import study
from noisefold.cli.threads import choose_waiting
from noisefold.cli.train import train
from noisefold.configuration import __version__

__all__ = ["app", "main"]

_INTERRUPTED = 130  # how typer exits where an interrupt reaches it
app = typer.Typer(
    name="noisefold",
    help="Learn to generate geometric graphs by diffusion and flow matching.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _command in (demo, inspect, convert, plan, train, distill, sample, complete, evaluate, report, study):
    app.command()(report_errors(_command))


def _version(wanted: bool) -> None:
    if wanted:
        say(f"noisefold {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    if debug:
        show_tracebacks()


def main() -> None:
    """Run the command line; ``--debug`` may stand anywhere."""
    if "--debug" in sys.argv[1:]:
        show_tracebacks()
        sys.argv = [a for a in sys.argv if a != "--debug"]
    choose_waiting()
    try:
        app()
    except (KeyboardInterrupt, SystemExit) as end:
        if isinstance(end, SystemExit) and end.code != _INTERRUPTED:
            raise
        say_error("stopped before a command began, or after it had ended.")
        raise SystemExit(1) from None
