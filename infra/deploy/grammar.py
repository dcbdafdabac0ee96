"""The command line of `python -m infra.deploy COMMAND`. Defaults are the environment variables that make passes."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

_FOLLOWED = """\
Every command is printed before it runs; with --dry-run (DRY_RUN=1) none runs. At a terminal Terraform shows its changes
and asks for confirmation; elsewhere it continues without asking.
"""
_DEPLOY = f"""\
Create the registry and the buckets, build the image, create everything else, and send an image through every entry
point. Existing resources are kept; run it again after a failure, a change of the code or of --tfvars.

{_FOLLOWED}
example:
  python -m infra.deploy deploy --project some-project --tfvars infra/examples/prod.tfvars
"""
_PLAN = f"""\
Print what `deploy` would change, with Terraform's plan; nothing is changed, locked or built. With --drift (DRIFT=1),
plan with the image and the model that run, and fail when the deployment differs from the files.

{_FOLLOWED}
example:
  python -m infra.deploy plan --project some-project --tfvars infra/examples/prod.tfvars
"""
_ROLLBACK = f"""\
Run an image that was built before. All other settings are as given: pass the same as to `deploy`. Without --image it
lists the available images.

{_FOLLOWED}
example:
  python -m infra.deploy rollback --project some-project --image sha256:0f3a...
"""
_MODELS = f"""\
Print the registry of a deployment, and the aliases of the models that it serves. Nothing is changed: `predictions
model` with this registry pushes models, moves aliases and rolls back.

{_FOLLOWED}
example:
  python -m infra.deploy models --project some-project
"""
_DESTROY = f"""\
Remove everything except non-empty buckets. The worker and the tables are protected (deletion_protection); the command
first removes the protection.

{_FOLLOWED}
example:
  python -m infra.deploy destroy --project some-project --confirm some-project
"""
_SMOKE = """\
Send one image through every entry point, with the permissions of the signed-in account: published, uploaded to the
bucket (which deletes it after 30 days), and posted when --url is given.

example:
  python -m infra.deploy smoke --project some-project --bucket some-project-uploads
"""
_BASE_IMAGE = """\
Print the name of a public image with its digest, which its registry gives.

example:
  python -m infra.deploy base-image python:3.11-slim
"""
_EXIT = "exit code: 0 success, 1 a command failed or an entry point did not respond, 2 invalid arguments, 130 Ctrl-C"


def parser(environ: Mapping[str, str]) -> argparse.ArgumentParser:
    """The argument parser; defaults come from `environ`."""
    top = argparse.ArgumentParser(
        prog="python -m infra.deploy", description="Deploy the pipeline to a Google Cloud project.", epilog=_EXIT
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, description: str, *flags: str) -> argparse.ArgumentParser:
        raw = argparse.RawDescriptionHelpFormatter
        summary = description.split("\n\n")[0].split(". ")[0].replace("\n", " ").rstrip(".")
        command = commands.add_parser(
            name, help=summary, description=description, epilog=_EXIT, formatter_class=raw, allow_abbrev=False
        )
        for flag in flags:
            variable = flag.upper().replace("-", "_")
            command.add_argument(
                f"--{flag}", default=environ.get(variable, ""), metavar="X", help=f"{_HELP[flag]} (default: {variable})"
            )
        return command

    target = ("project", "region", "prefix", "compute", "tfvars")

    def switch(command: argparse.ArgumentParser, variable: str) -> None:
        flag = f"--{variable.lower().replace('_', '-')}"
        command.add_argument(
            flag, default=environ.get(variable, ""), nargs="?", const="1", metavar="1", help=SWITCHES[variable]
        )

    deploy = add("deploy", _DEPLOY, *target, "artifact", "base-image")
    switch(deploy, "REBUILD")
    plan = add("plan", _PLAN, *target, "artifact", "base-image")
    switch(plan, "DRIFT")
    models = add("models", _MODELS, *target)
    rollback = add("rollback", _ROLLBACK, *target, "artifact", "image")
    destroy = add("destroy", _DESTROY, *target, "confirm")
    for command in (deploy, plan, models, rollback, destroy):
        switch(command, "DRY_RUN")
    add("base-image", _BASE_IMAGE).add_argument("name", metavar="NAME", help="the image, such as python:3.11-slim")
    smoke = add("smoke", _SMOKE)
    smoke.add_argument(
        "--project", default=environ.get("GOOGLE_CLOUD_PROJECT", ""), help="project (default: GOOGLE_CLOUD_PROJECT)"
    )
    smoke.add_argument("--topic", default=environ.get("REQUEST_TOPIC") or "req_predict", help="request topic")
    smoke.add_argument(
        "--response-topic", default=environ.get("RESPONSE_TOPIC") or "res_predict", help="response topic"
    )
    smoke.add_argument("--bucket", default=environ.get("UPLOAD_BUCKET", ""), help="the watched bucket")
    smoke.add_argument("--url", default=environ.get("ENDPOINT_URL", ""), help="the HTTP endpoint, if it is open")
    smoke.add_argument(
        "--timeout", type=float, default=120.0, metavar="S", help="seconds for each response (default 120)"
    )
    return top


_HELP = {
    "project": "the project's id",
    "region": "the region, europe-west1 unless --tfvars sets another",
    "prefix": "prefix of every name, for several deployments in a project",
    "compute": "push, worker, function or kafka",
    "tfvars": "files with Terraform's other variables, separated by commas; later ones override earlier ones",
    "artifact": "a model's folder, to upload and serve instead of the image's own model",
    "base-image": "the base image, instead of the Dockerfile's; with a digest its registry is not asked",
    "image": "an image that was deployed before: its name, digest or tag",
    "confirm": "the project's id again, to confirm",
}

# Options that are 1 or empty, by their variable.
SWITCHES = {
    "DRIFT": "fail when the deployment differs from the files (DRIFT)",
    "DRY_RUN": "only print the commands (DRY_RUN)",
    "REBUILD": "build the image also when it exists (REBUILD)",
}
