"""`python -m infra.deploy`: runs a command, and turns errors into messages and exit codes."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from client.gcp import Cloud
from client.images import ImageFile
from client.text import SendError
from infra.deploy import smoke
from infra.deploy.grammar import parser
from infra.deploy.images import installed_packages
from infra.deploy.remove import destroy
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.stages import deploy, rollback
from infra.deploy.target import Target, UsageError
from model.artifact.load import ENGINES, Artifact, read_artifact
from model.errors import ArtifactError
from model.text import printable, printable_lines, quoted

ROOT = Path(__file__).resolve().parents[2]
_EMULATORS = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> int:
    """Run one command; returns the exit code. argparse itself exits with 2 for invalid arguments."""
    args = parser(environ).parse_args(argv)
    try:
        return _smoke(args, root) if args.command == "smoke" else _change(args, environ, root)
    except UsageError as exc:
        print(f"{args.command}: {printable_lines(str(exc))}", file=sys.stderr)
        return 2
    except CommandFailed as exc:
        print(f"{args.command} stopped: {printable_lines(str(exc))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _change(args: argparse.Namespace, environ: Mapping[str, str], root: Path) -> int:
    given = {name.upper(): value for name, value in vars(args).items() if isinstance(value, str)}
    target = Target.read(given)
    if args.dry_run not in ("", "1"):
        raise UsageError(f"DRY_RUN is {quoted(args.dry_run)}; it must be 1 or empty")
    set_here = [name for name in _EMULATORS if environ.get(name)]
    if set_here and args.command != "destroy":
        raise UsageError(
            f"{' and '.join(set_here)} is set, so an emulator would be used instead of the cloud: unset it"
        )
    shell = Shell(root, dry=args.dry_run == "1", attended=sys.stdin.isatty())
    try:
        if args.command == "deploy":
            deploy(shell, target, _artifact(args.artifact, root))
        elif args.command == "rollback":
            rollback(shell, target, _artifact(args.artifact, root), args.image)
        else:
            destroy(shell, target, args.confirm)
    except CommandFailed as exc:
        others = [f"{name}={given[name]}" for name in ("ARTIFACT", "IMAGE", "CONFIRM") if given.get(name)]
        again = shlex.join(["make", args.command, *target.words(), *others])
        raise CommandFailed(f"{exc}\nCompleted steps are kept. When the problem is fixed, run: {again}") from exc
    return 0


def _artifact(place: str, root: Path) -> Artifact | None:
    """The artifact in the folder `place`, None without one. Raises UsageError when the worker cannot serve it."""
    if not place:
        return None
    try:
        artifact = read_artifact(Path(place))
    except (ArtifactError, OSError) as exc:
        raise UsageError(f"ARTIFACT is {quoted(place)}: {printable(str(exc))}") from None
    held = [name for name, runtime in ENGINES.items() if runtime.requirement in installed_packages(root)]
    if not set(held) & set(artifact.engines):
        raise UsageError(
            f"ARTIFACT is {quoted(place)}, which has the engine {', '.join(artifact.engines)}; the worker's image "
            f"holds {', '.join(held)} (functions/requirements.txt): export or import the model with "
            f"--engines {' '.join(held)}"
        )
    return artifact


def _smoke(args: argparse.Namespace, root: Path) -> int:
    for name in ("project", "bucket"):
        if not getattr(args, name):
            raise UsageError(f"the {name} is missing: --{name}")
    if not 0 < args.timeout <= 3600:
        raise UsageError(f"--timeout is {args.timeout:g}; it must be more than 0 and at most 3600 seconds")
    cloud, shell = Cloud(args.project, args.topic, args.response_topic), Shell(root)

    def token() -> str:
        if not args.url.startswith("https://"):
            return ""
        try:
            return shell.ask("gcloud", "auth", "print-identity-token", hint="")
        except (CommandFailed, OSError) as exc:
            raise SendError(
                "gcloud provides no identity token, and the endpoint accepts only members of endpoint_callers"
            ) from exc

    entry_points = smoke.all_entry_points(cloud, args.bucket, args.url, token, args.timeout)
    good = []
    for line in smoke.lines(entry_points, ImageFile(root / smoke.IMAGE, smoke.IMAGE.name), args.timeout):
        print(line, flush=True)
        good.append(line.ok)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
