"""`python -m client`: from the command line to a command, and from what went wrong to a sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from client.cli.commands import INTERRUPTED, run_predict, run_publish, run_upload
from client.cli.parser import parser
from client.cli.watch import run_watch
from client.gcp import UsageError
from client.text import plain


def _plan(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from client.plan.command import run_plan  # what no other command need wait for; so below

    return run_plan(args, environ)


def _doctor(args: argparse.Namespace, environ: Mapping[str, str]) -> int:
    from client.doctor.command import run_doctor

    return run_doctor(args, environ)


_COMMANDS = {
    "publish": run_publish,
    "upload": run_upload,
    "predict": run_predict,
    "watch": run_watch,
    "plan": _plan,
    "doctor": _doctor,
}


_RENAMED = {"DOOR_URL": "ENDPOINT_URL", "DOOR_TOKEN": "ENDPOINT_TOKEN"}
"""Variables of versions before 1.0.0, each with its name since."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; gives the exit code. argparse itself exits with 2 for wrong usage."""
    args = parser(environ).parse_args(argv)
    try:
        for old, new in _RENAMED.items():
            if old in environ:
                raise UsageError(f"{old} is set; its name is {new} since version 1.0.0")
        return _COMMANDS[args.command](args, environ)
    except UsageError as exc:
        print(f"python -m client {args.command}: {exc}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read us has gone (`| head`); nothing more may be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as exc:
        print(f"python -m client {args.command}: {plain(exc)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    # Being ended politely is like Ctrl-C: nothing is left behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A file's name may hold what the terminal's encoding does not.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(main())
