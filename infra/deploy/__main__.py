"""`python -m infra.deploy`: from words to a deployment, and from what went wrong to a sentence and an exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from client.gcp import Cloud
from client.image_files import ImageFile
from client.text import SendError
from infra.deploy import smoke
from infra.deploy.grammar import parser
from infra.deploy.remove import destroy
from infra.deploy.shell import Shell, Stopped
from infra.deploy.stages import deploy, rollback
from infra.deploy.target import Target, Wrong
from model.artifact.load import Artifact, read_artifact
from model.errors import ArtifactError
from model.text import printable, printable_lines, quoted

ROOT = Path(__file__).resolve().parents[2]
_EMULATORS = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> int:
    """Run one command; gives the exit code. argparse itself exits with 2 for wrong usage."""
    args = parser(environ).parse_args(argv)
    try:
        return _smoke(args, root) if args.command == "smoke" else _change(args, environ, root)
    except Wrong as exc:
        print(f"{args.command}: {printable_lines(str(exc))}", file=sys.stderr)
        return 2
    except Stopped as exc:
        print(f"{args.command} stopped: {printable_lines(str(exc))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _change(args: argparse.Namespace, environ: Mapping[str, str], root: Path) -> int:
    given = {name.upper(): value for name, value in vars(args).items() if isinstance(value, str)}
    target = Target.read(given)
    if args.dry_run not in ("", "1"):
        raise Wrong(f"DRY_RUN is {quoted(args.dry_run)}; it takes 1 or nothing")
    set_here = [name for name in _EMULATORS if environ.get(name)]
    if set_here and args.command != "destroy":
        raise Wrong(f"{' and '.join(set_here)} is set, so an emulator would be tried in place of the cloud: unset it")
    shell = Shell(root, dry=args.dry_run == "1", attended=sys.stdin.isatty())
    try:
        if args.command == "deploy":
            deploy(shell, target, _artifact(args.artifact))
        elif args.command == "rollback":
            rollback(shell, target, _artifact(args.artifact), args.image)
        else:
            destroy(shell, target, args.confirm)
    except Stopped as exc:
        others = [f"{name}={given[name]}" for name in ("ARTIFACT", "IMAGE", "CONFIRM") if given.get(name)]
        again = shlex.join(["make", args.command, *target.words(), *others])
        raise Stopped(f"{exc}\nWhat was done stays, and is not done twice. When that is mended: {again}") from exc
    return 0


def _artifact(place: str) -> Artifact | None:
    try:
        return read_artifact(Path(place)) if place else None
    except (ArtifactError, OSError) as exc:
        raise Wrong(f"ARTIFACT is {quoted(place)}: {printable(str(exc))}") from None


def _smoke(args: argparse.Namespace, root: Path) -> int:
    for name in ("project", "bucket"):
        if not getattr(args, name):
            raise Wrong(f"no {name} is given: --{name}")
    if not 0 < args.timeout <= 3600:
        raise Wrong(f"--timeout is {args.timeout:g}; it takes seconds above 0, at most 3600")
    cloud, shell = Cloud(args.project, args.topic, args.response_topic), Shell(root)

    def token() -> str:
        if not args.url.startswith("https://"):
            return ""
        try:
            return shell.ask("gcloud", "auth", "print-identity-token", otherwise="")
        except (Stopped, OSError) as exc:
            raise SendError(
                "gcloud gives no identity token, and the entry point lets in only those of endpoint_callers"
            ) from exc

    entry_points = smoke.all_entry_points(cloud, args.bucket, args.url, token, args.timeout)
    good = []
    for line in smoke.lines(entry_points, ImageFile(root / smoke.IMAGE, smoke.IMAGE.name), args.timeout):
        print(line, flush=True)
        good.append(line.ok)
    return 0 if all(good) else 1


if __name__ == "__main__":
    sys.exit(main())
