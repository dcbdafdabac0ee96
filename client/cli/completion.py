"""The command completion: prints click's completion script for a shell."""

from __future__ import annotations

import click

from client.cli import options

NAME = "predictions"
VARIABLE = "_PREDICTIONS_COMPLETE"
"""The environment variable by which the script makes the program print completions instead of running a command."""


@click.command(cls=options.Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]), help="Name of the shell.")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> int:
    """Print the completion script for a shell.

    Add one of these lines to the shell's start-up file, and open a new shell:

    \b
      ~/.bashrc                   eval "$(predictions completion bash)"
      ~/.zshrc                    eval "$(predictions completion zsh)"
      ~/.config/fish/config.fish  predictions completion fish | source
    """
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    assert found is not None, shell
    click.echo(found(ctx.find_root().command, {}, NAME, VARIABLE).source())
    return 0


def complete(program: click.Command, instruction: str) -> int:
    """Print what the completion script asks for. Returns the exit code."""
    from click.shell_completion import shell_complete

    return shell_complete(program, {}, NAME, VARIABLE, instruction)
