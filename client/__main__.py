"""Entry point of `predictions` and `python -m client`: runs a command, turns errors into messages and exit codes."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence

import click

from client.cli import options
from client.cli.completion import NAME, VARIABLE, complete
from client.cli.program import COMMANDS, program
from client.gcp import UsageError
from client.loopback import without_proxy
from model import streams
from model.text import printable

_MIN_COLUMNS, _MAX_COLUMNS = 30, 80
"""Columns of the narrowest and the widest terminal for which --help is laid out."""


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command and return the exit code."""
    words = sys.argv[1:] if argv is None else list(argv)
    try:
        if instruction := environ.get(VARIABLE):
            return complete(program, instruction)
        # click would assume 50 columns at least.
        columns = max(_MIN_COLUMNS, min(shutil.get_terminal_size().columns, _MAX_COLUMNS))
        with program.make_context(NAME, words, obj=environ, terminal_width=columns - 2) as ctx:
            return int(program.invoke(ctx) or 0)
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except click.exceptions.NoArgsIsHelpError as exc:
        print(exc.format_message(), file=sys.stderr)
        return 2
    except click.UsageError as exc:
        return _refuse(exc)
    except UsageError as exc:
        print(f"{_name(words)}: {exc}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, click.Abort):
        return options.INTERRUPTED
    except BrokenPipeError:
        raise  # `streams.run` ends the program
    except Exception as exc:
        from client.text import plain

        print(f"{_name(words)}: {plain(exc)}", file=sys.stderr)
        return 1


def _refuse(exc: click.UsageError) -> int:
    """Print why the arguments are wrong. Escapes them: with `publish *` they are file names of unknown origin."""
    ctx = exc.ctx
    if ctx:
        print(f"{ctx.get_usage()}\nTry '{ctx.command_path} --help' for help.\n", file=sys.stderr)
    message = exc.format_message()
    if isinstance(exc, click.MissingParameter):  # the choices are on lines of their own
        message = message.replace("\n\t", " ")
    print(f"Error: {printable(message)}", file=sys.stderr)
    return 2


def _name(words: Sequence[str]) -> str:
    """Return the program's and the command's name, with which a message begins."""
    return f"{NAME} {words[0]}" if words and words[0] in COMMANDS else NAME


def console() -> None:
    """Run the command line of this process, and exit."""
    streams.open_closed()
    os.environ.update(without_proxy(os.environ))
    # SIGTERM is handled like Ctrl-C, so that a temporary subscription is deleted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # A file name may hold characters that the terminal's encoding lacks.
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.stderr.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    sys.exit(streams.run(main))


if __name__ == "__main__":
    console()
