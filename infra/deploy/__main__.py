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
from infra.deploy import base_image, models, smoke
from infra.deploy.grammar import SWITCHES, parser
from infra.deploy.images import KAFKA_LOCK, LOCKS, Build, smallest_lock
from infra.deploy.plan import drift, plan
from infra.deploy.remove import destroy
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.stages import deploy, rollback
from infra.deploy.target import Target, UsageError
from model.artifact.load import Artifact, read_artifact
from model.errors import ArtifactError
from model.text import printable, printable_lines, quoted

ROOT = Path(__file__).resolve().parents[2]
# Arguments of make that a repeated command needs, besides those of the target.
_REPEATED = ("ARTIFACT", "IMAGE", "BASE_IMAGE", "REBUILD", "DRIFT", "CONFIRM")
_EMULATORS = ("PUBSUB_EMULATOR_HOST", "STORAGE_EMULATOR_HOST")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ, root: Path = ROOT) -> int:
    """Run one command; returns the exit code. argparse itself exits with 2 for invalid arguments."""
    args = parser(environ).parse_args(argv)
    try:
        match args.command:
            case "smoke":
                return _smoke(args, root)
            case "base-image":
                print(base_image.resolved(args.name))
                return 0
            case _:
                return _change(args, environ, root)
    except UsageError as exc:
        print(f"{args.command}: {printable_lines(str(exc))}", file=sys.stderr)
        return 2
    except (CommandFailed, base_image.Unresolved) as exc:
        print(f"{args.command} stopped: {printable_lines(str(exc))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _change(args: argparse.Namespace, environ: Mapping[str, str], root: Path) -> int:
    given = {name.upper(): value for name, value in vars(args).items() if isinstance(value, str)}
    target = Target.read(given)
    for name in SWITCHES:
        if given.get(name, "") not in ("", "1"):
            raise UsageError(f"{name} is {quoted(given[name])}; it must be 1 or empty")
    set_here = [name for name in _EMULATORS if environ.get(name)]
    if set_here and args.command != "destroy":
        raise UsageError(
            f"{' and '.join(set_here)} is set, so an emulator would be used instead of the cloud: unset it"
        )
    shell = Shell(root, dry=args.dry_run == "1", attended=sys.stdin.isatty())
    try:
        _run(args, shell, target)
    except CommandFailed as exc:
        others = [f"{name}={given[name]}" for name in _REPEATED if given.get(name)]
        again = shlex.join(["make", args.command, *target.words(), *others])
        raise CommandFailed(f"{exc}\nCompleted steps are kept. When the problem is fixed, run: {again}") from exc
    return 0


def _run(args: argparse.Namespace, shell: Shell, target: Target) -> None:
    match args.command:
        case "deploy":
            artifact, lock = _served(args.artifact, shell.root, target)
            deploy(shell, target, artifact, Build(args.base_image, args.rebuild == "1", lock, also=_also(target)))
        case "plan" if args.drift:
            drift(shell, target)
        case "plan":
            artifact, lock = _served(args.artifact, shell.root, target)
            plan(shell, target, artifact, Build(args.base_image, lock=lock, also=_also(target)))
        case "models":
            models.report(shell, target)
        case "rollback":
            artifact, _ = _artifact(args.artifact, shell.root, target)
            rollback(shell, target, artifact, args.image)
        case _:
            destroy(shell, target, args.confirm)


def _served(place: str, root: Path, target: Target) -> tuple[Artifact | None, str]:
    """As `_artifact`, for a deployment that builds an image: with a GPU, the artifact decides which one."""
    if target.gpu and not place and not target.models:
        raise UsageError(
            f"gpu is {quoted(target.gpu)} and ARTIFACT is missing: the artifact decides which engine uses the GPU; the "
            "image's own model needs none"
        )
    return _artifact(place, root, target)


def _also(target: Target) -> str:
    """The lock file that is installed in addition, if any."""
    return KAFKA_LOCK if target.compute == "kafka" else ""


def _artifact(place: str, root: Path, target: Target) -> tuple[Artifact | None, str]:
    """The artifact in the folder `place`, None without one, and the lock file of the smallest image that serves it.

    Raises UsageError when no image can.
    """
    if not place:
        return None, LOCKS[0]
    if target.models:
        raise UsageError(
            f"ARTIFACT is {quoted(place)} and models is {', '.join(target.models)}; the worker serves the registry: "
            f"push the folder instead, with `predictions model push FOLDER --registry {target.registry}`"
        )
    try:
        artifact = read_artifact(Path(place))
    except (ArtifactError, OSError) as exc:
        raise UsageError(f"ARTIFACT is {quoted(place)}: {printable(str(exc))}") from None
    return artifact, smallest_lock(root, target, {f"ARTIFACT is {quoted(place)}": artifact.engines})


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
