"""What `make deploy` and `make rollback` do, one command after the other, and what both begin and end with."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from infra.deploy.environment import exports
from infra.deploy.images import UNKNOWN, built, chosen, listed
from infra.deploy.shell import Shell, Stopped
from infra.deploy.standing import Standing
from infra.deploy.target import COMPUTE, REGION, Target, Wrong
from infra.deploy.terraform import Terraform
from model.artifact.load import Artifact
from model.text import quoted

_TOOLS = {"gcloud": "cloud.google.com/sdk/docs/install", "terraform": "developer.hashicorp.com/terraform/install"}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def deploy(shell: Shell, target: Target, artifact: Artifact | None) -> None:
    """Both stages, then what is there and whether it answers. Raises Stopped, Wrong."""
    place = _place(artifact)
    sign_in(shell, target)
    # Terraform itself asks through these; on a new project they are off.
    shell.run(
        *("gcloud", "services", "enable", "cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com"),
        f"--project={target.project}",
        otherwise="Has the project billing, and may you switch services on (roles/serviceusage.serviceUsageAdmin)?",
    )
    terraform, _ = prepare(shell, target, "region")
    shell.say("1 of 2: the registry and the buckets")
    terraform.apply_first()
    shell.say("2 of 2: the image, the artifact, and everything else")
    # A function has none of ours: Google builds it from the archive.
    image = {} if target.compute == "function" else {"image": built(shell, target)}
    if artifact:
        _upload(shell, target, artifact, place["artifact_prefix"])
    terraform.apply(**image, **place)
    _finish(shell, target, terraform)


def rollback(shell: Shell, target: Target, artifact: Artifact | None, wanted: str) -> None:
    """Run an image that was built before, with the model that is served unless another is given, the rest as given.

    Raises Stopped, and Wrong, which lists the images.
    """
    if target.compute == "function":
        raise Wrong("a function has no image to go back to: check out what it was, and deploy that")
    place = _place(artifact)
    sign_in(shell, target)
    images = listed(shell, target)
    image = f"{target.worker_image}@{UNKNOWN}" if shell.dry else ""
    if found := chosen(images, wanted):
        image = found.name
    if not image:
        lines = [f"  {each.digest}  {each.made[:19]}  {' '.join(each.tags)}" for each in images]
        said = f"IMAGE is {quoted(wanted)}, which is not in the registry" if wanted else "no image is given"
        raise Wrong("\n".join([f"{said}; IMAGE= takes one of these, newest first:", *(lines or ["  (none)"])]))
    terraform, standing = prepare(shell, target, "region", "compute")
    terraform.apply(image=image, **(place or standing.place))
    _finish(shell, target, terraform)


def sign_in(shell: Shell, target: Target) -> None:
    """See that the tools are here and that somebody is signed in. Raises Stopped."""
    for tool, origin in _TOOLS.items():
        if not (shell.dry or shutil.which(tool)):
            raise Stopped(f"{tool} is not installed: {origin}")
    shell.ask(
        *("gcloud", "projects", "describe", target.project, "--format=value(projectNumber)"),
        otherwise=f"Sign in with `gcloud auth login`, as somebody who may see the project {target.project}.",
    )
    shell.ask(
        *("gcloud", "auth", "application-default", "print-access-token"),
        otherwise="Terraform and the client have a sign-in of their own: gcloud auth application-default login",
    )


def prepare(shell: Shell, target: Target, *fixed: str) -> tuple[Terraform, Standing]:
    """Make ready what every command of Terraform wants; what stands already. `fixed`: what may be no other than there.

    Raises Stopped, Wrong.
    """
    if target.compute == "function":
        shell.run("make", "package", otherwise="A function is built from what that writes.")
    terraform = Terraform(shell, target)
    terraform.init()
    standing = Standing(terraform.outputs())
    standing.check(target, *fixed)
    return terraform, standing


def _place(artifact: Artifact | None) -> dict[str, str]:
    """Where in the models bucket an artifact goes, by its digest: another model never takes its place."""
    if not artifact:
        return {}
    if not _NAME.fullmatch(artifact.name):
        raise Wrong(f"the artifact's name is {quoted(artifact.name)}; a place in a bucket takes letters, digits, . _ -")
    return {"artifact_prefix": f"{artifact.name}/{artifact.digest.removeprefix('sha256:')[:16]}"}


def _upload(shell: Shell, target: Target, artifact: Artifact, place: str) -> None:
    shell.run(
        *("gcloud", "storage", "rsync", "--recursive", "--exclude=^training/"),
        *(str(artifact.folder.absolute()), f"gs://{target.bucket('models')}/{place}", f"--project={target.project}"),
        otherwise="May you write to the models bucket?",
    )


def _finish(shell: Shell, target: Target, terraform: Terraform) -> None:
    """Say what there is and what the client is told of it, and try every entry point."""
    outputs = terraform.outputs()
    if outputs:
        shell.say(f"runs: {outputs.get('image') or 'a function'}")
        shell.say("for the client, in your shell:")
        print("\n".join(exports(target.project, outputs)), flush=True)
    # Who deploys is outside, where an internal entry point answers nobody.
    entry_point = outputs.get("endpoint_url") if outputs.get("http_endpoint") == "anywhere" else None
    shell.run(
        *(_python(shell.root), "-m", "infra.deploy", "smoke", f"--project={target.project}"),
        *(f"--topic={target.named('req_predict')}", f"--response-topic={target.named('res_predict')}"),
        *(f"--bucket={target.bucket('uploads')}", *([f"--url={entry_point}"] if entry_point else [])),
        otherwise=f"All is made, but not every entry point answers. What is not well: {_doctor(target)}",
    )


def _doctor(target: Target) -> str:
    """The command that looks a deployment over."""
    given = {"--prefix": target.prefix, "--region": target.region, "--compute": target.compute}
    default = {"--region": REGION, "--compute": COMPUTE}
    words = [f" {flag} {value}" for flag, value in given.items() if value != default.get(flag, "")]
    return f"predictions doctor --project {target.project}{''.join(words)}"


def _python(root: Path) -> str:
    """This Python, as short as it can be said from there."""
    here = Path(sys.executable)
    return str(here.relative_to(root) if here.is_relative_to(root) else here)
