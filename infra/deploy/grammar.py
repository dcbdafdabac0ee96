"""What may be typed: `python -m infra.deploy COMMAND`. Defaults are the variables that make passes on."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

_FOLLOWED = """\
Every command is printed before it is run; with --dry-run (DRY_RUN=1) none is. At a terminal Terraform shows what it
would change and asks; elsewhere it goes on.
"""
_DEPLOY = f"""\
Make the registry and the buckets, build the image, make everything else, and send an image through every entry point.
What is there already stays; run it again after a failure, a change of the code or of --tfvars.

{_FOLLOWED}
example:
  python -m infra.deploy deploy --project some-project --tfvars infra/examples/prod.tfvars
"""
_ROLLBACK = f"""\
Run an image that was built before. Everything else is as it is given: give what `deploy` was given. Without --image
it lists what there is.

{_FOLLOWED}
example:
  python -m infra.deploy rollback --project some-project --image sha256:0f3a...
"""
_DESTROY = f"""\
Remove everything but buckets that hold something. The worker and the tables are protected (deletion_protection);
that is taken off first.

{_FOLLOWED}
example:
  python -m infra.deploy destroy --project some-project --confirm some-project
"""
_SMOKE = """\
Send one image through every entry point, with the rights of the signed-in account: published, dropped in the bucket
(where it stays for the bucket's 30 days), and posted where --url is given.

example:
  python -m infra.deploy smoke --project some-project --bucket some-project-uploads
"""
_EXIT = "exit code: 0 done, 1 a command failed or an entry point did not answer, 2 wrong usage, 130 Ctrl-C"


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The whole grammar; defaults come from `environ`."""
    top = argparse.ArgumentParser(
        prog="python -m infra.deploy", description="Get the pipeline into a project of Google Cloud.", epilog=_EXIT
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, description: str, *flags: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        summary = description.split("\n\n")[0].split(". ")[0].replace("\n", " ").rstrip(".")
        command = commands.add_parser(
            name, help=summary, description=description, epilog=_EXIT, formatter_class=raw, allow_abbrev=False
        )
        for flag in flags:
            variable = flag.upper()
            command.add_argument(
                f"--{flag}", default=environ.get(variable, ""), metavar="X", help=f"{_HELP[flag]} (default: {variable})"
            )
        return command

    target = ("project", "region", "prefix", "compute", "tfvars")
    deploy = add("deploy", _DEPLOY, *target, "artifact")
    rollback = add("rollback", _ROLLBACK, *target, "artifact", "image")
    destroy = add("destroy", _DESTROY, *target, "confirm")
    for command in (deploy, rollback, destroy):
        command.add_argument(
            "--dry-run",
            default=environ.get("DRY_RUN", ""),
            nargs="?",
            const="1",
            metavar="1",
            help="print only (DRY_RUN)",
        )
    smoke = add("smoke", _SMOKE)
    smoke.add_argument(
        "--project", default=environ.get("GOOGLE_CLOUD_PROJECT", ""), help="project (default: GOOGLE_CLOUD_PROJECT)"
    )
    smoke.add_argument("--topic", default=environ.get("REQUEST_TOPIC") or "req_predict", help="request topic")
    smoke.add_argument(
        "--response-topic", default=environ.get("RESPONSE_TOPIC") or "res_predict", help="response topic"
    )
    smoke.add_argument("--bucket", default=environ.get("UPLOAD_BUCKET", ""), help="the watched bucket")
    smoke.add_argument("--url", default=environ.get("ENDPOINT_URL", ""), help="the HTTP endpoint, where one is open")
    smoke.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds for each answer (default 120)"
    )
    return top


_HELP = {
    "project": "the project's id",
    "region": "its region, europe-west1 unless --tfvars says another",
    "prefix": "put before every name, for several deployments in a project",
    "compute": "push, worker or function",
    "tfvars": "a file with Terraform's other variables",
    "artifact": "a model's folder, uploaded and served in place of the image's own",
    "image": "an image that was deployed before: its name, digest or tag",
    "confirm": "the project's id once more",
}
