"""The steps of `make deploy` and `make rollback`, and those that they share."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from infra.deploy import models
from infra.deploy.environment import exports
from infra.deploy.existing_deployment import ExistingDeployment
from infra.deploy.images import UNKNOWN, Build, built, chosen, listed
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.target import COMPUTE, REGION, Target, UsageError
from infra.deploy.terraform import Terraform
from model.artifact.load import Artifact
from model.text import quoted

_TOOLS = {"gcloud": "cloud.google.com/sdk/docs/install", "terraform": "developer.hashicorp.com/terraform/install"}
Enter = Callable[[Shell, Target], None]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def _describe(shell: Shell, target: Target) -> None:
    shell.ask(
        *("gcloud", "projects", "describe", target.project, "--format=value(projectNumber)"),
        hint=f"Sign in with `gcloud auth login`, with an account that can view the project {target.project}.",
    )


def _enable(shell: Shell, target: Target) -> None:
    """Enable the APIs that Terraform and gcloud need, before their first use: they are off in a new project."""
    shell.run(
        *("gcloud", "services", "enable", "cloudresourcemanager.googleapis.com", "serviceusage.googleapis.com"),
        f"--project={target.project}",
        hint=f"Sign in with `gcloud auth login`, with an account that has roles/serviceusage.serviceUsageAdmin on the "
        f"project {target.project}. Does the project have billing?",
    )


def deploy(shell: Shell, target: Target, artifact: Artifact | None, build: Build) -> None:
    """Run both stages, print the client's settings, and run the smoke test. Raises CommandFailed, UsageError."""
    place = artifact_place(artifact)
    sign_in(shell, target, _enable)
    terraform, existing = prepare(shell, target, "region")
    # In a new project, the APIs and grants that one step makes may reach the next step with a delay.
    attempt = shell.once if existing.is_complete else shell.twice
    if existing.has_registry and terraform.has_first():
        shell.say("1 of 2: the registry and the buckets exist already")
    else:
        shell.say("1 of 2: the registry and the buckets")
        attempt(terraform.apply_first)
        existing = ExistingDeployment(terraform.outputs())
    shell.say("2 of 2: the image, the artifact or the models, and everything else")
    if target.models:
        build = replace(build, lock=models.prepared(shell, target, existing))
    # A function has no image of the project's own: Google builds it from the archive.
    image = {} if target.compute == "function" else {"image": attempt(partial(built, shell, target, build, existing))}
    if target.page == "on":
        image |= {"page_image": attempt(partial(built, shell, target, build.of_page, existing))}
    if artifact:
        _upload(shell, target, artifact, f"{existing.build_bucket(target)}/{place['artifact_prefix']}")
    attempt(partial(terraform.apply, **image, **place))
    _finish(shell, target, terraform)


def rollback(shell: Shell, target: Target, artifact: Artifact | None, wanted: str) -> None:
    """Run an image that was built before, with the served model or another `artifact`; other settings are as given.

    Raises CommandFailed, and UsageError, which lists the images.
    """
    if target.compute == "function":
        raise UsageError("a function has no earlier image: check out the earlier sources and deploy them")
    place = artifact_place(artifact)
    sign_in(shell, target)
    images = listed(shell, target)
    image = f"{target.image('worker')}@{UNKNOWN}" if shell.dry else ""
    if found := chosen(images, wanted):
        image = found.name
    if not image:
        lines = [f"  {each.digest}  {each.made[:19]}  {' '.join(each.tags)}" for each in images]
        reason = f"IMAGE is {quoted(wanted)}, which is not in the registry" if wanted else "IMAGE is missing"
        raise UsageError("\n".join([f"{reason}; it must be one of these, newest first:", *(lines or ["  (none)"])]))
    terraform, existing = prepare(shell, target, "region", "compute", "models", "page")
    terraform.apply(image=image, **(place or existing.artifact(target)), **running_page(shell, target, existing))
    _finish(shell, target, terraform)


def sign_in(shell: Shell, target: Target, enter: Enter = _describe) -> None:
    """Check that the tools are installed and that an account is signed in; `enter` asks. Raises CommandFailed."""
    for tool, origin in _TOOLS.items():
        if not (shell.dry or shutil.which(tool)):
            raise CommandFailed(f"{tool} is not installed: {origin}")
    enter(shell, target)
    shell.ask(
        *("gcloud", "auth", "application-default", "print-access-token"),
        hint="Terraform and the client need a sign-in of their own: gcloud auth application-default login",
    )


def prepare(shell: Shell, target: Target, *fixed: str) -> tuple[Terraform, ExistingDeployment]:
    """Initialise Terraform and read the existing deployment. The settings `fixed` must equal those of the deployment.

    Raises CommandFailed, UsageError.
    """
    if target.compute == "function":
        shell.run("make", "package", hint="The function is built from its output.")
    terraform = Terraform(shell, target)
    terraform.init()
    existing = ExistingDeployment(terraform.outputs())
    existing.check(target, *fixed)
    return terraform, existing


def running_page(shell: Shell, target: Target, existing: ExistingDeployment) -> dict[str, str]:
    """The variable with the page's image, as it runs; nothing when the target has no page."""
    if shell.dry and target.page == "on":
        return {"page_image": f"{target.image('page')}@{UNKNOWN}"}
    return existing.page(target)


def artifact_place(artifact: Artifact | None) -> dict[str, str]:
    """The variable with the artifact's prefix in the models bucket, by digest, so that models do not collide."""
    if not artifact:
        return {}
    if not _NAME.fullmatch(artifact.name):
        raise UsageError(
            f"the artifact's name is {quoted(artifact.name)}; its prefix in a bucket may hold A-Z, a-z, 0-9, . _ and -"
        )
    return {"artifact_prefix": f"{artifact.name}/{artifact.digest.removeprefix('sha256:')[:16]}"}


def _upload(shell: Shell, target: Target, artifact: Artifact, place: str) -> None:
    shell.run(
        *("gcloud", "storage", "rsync", "--recursive", "--exclude=^training/"),
        *(str(artifact.folder.absolute()), f"gs://{place}", f"--project={target.project}"),
        hint="Can the account write to the models bucket?",
    )


def _finish(shell: Shell, target: Target, terraform: Terraform) -> None:
    """Print the deployment and the client's settings, and run the smoke test."""
    outputs = terraform.outputs()
    deployed = ExistingDeployment(outputs)
    if outputs:
        shell.say(f"runs: {outputs.get('image') or 'a function'}")
        if address := outputs.get("page_url"):
            shell.say(f"the page: {address} (a new address may take some minutes to ask for the sign-in)")
        shell.say("the client's settings, for your shell:")
        print("\n".join(exports(target.project, outputs)), flush=True)
    if deployed.models:
        try:
            models.show(shell, target, deployed)
        except CommandFailed as exc:  # the deployment is complete
            shell.say(str(exc))
    if target.compute == "kafka":
        shell.say(
            "no smoke test: the brokers are reached from their network only. There, this sends an image and prints its "
            "response: predictions publish client/samples/sneaker.jpg"
        )
        return
    # An internal endpoint does not accept requests from outside, where this command runs.
    entry_point = outputs.get("endpoint_url") if outputs.get("http_endpoint") == "anywhere" else None
    limit_s = outputs.get("first_response_seconds")
    shell.run(
        *shell.python("infra.deploy", "smoke", f"--project={target.project}"),
        f"--topic={deployed.topic(target, 'req_predict')}",
        f"--response-topic={deployed.topic(target, 'res_predict')}",
        *(f"--bucket={deployed.bucket(target, 'uploads')}", *([f"--url={entry_point}"] if entry_point else [])),
        *([f"--timeout={limit_s}"] if limit_s else []),
        hint=f"Everything is deployed, but not every entry point responds. To diagnose: {_doctor(target)}",
    )


def _doctor(target: Target) -> str:
    """The command that diagnoses a deployment."""
    given = {"--prefix": target.prefix, "--region": target.region, "--compute": target.compute}
    if target.models:
        given |= {"--registry": target.registry, "--models": ",".join(target.models)}
    default = {"--region": REGION, "--compute": COMPUTE}
    words = [f" {flag} {value}" for flag, value in given.items() if value != default.get(flag, "")]
    return f"predictions doctor --project {target.project}{''.join(words)}"
