"""The worker's images: built by Cloud Build with a tag of their sources, looked up, and deployed by digest."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.target import Target

# The image's sources. Those under _LEFT_OUT are not in the image (.dockerignore).
_PACKAGES = ("functions", "model")
_FILES = (Path("Dockerfile"), Path("infra") / "slim.py")
_LEFT_OUT = {"training", "__pycache__"}

# Stands for the registry's digest in a dry run.
UNKNOWN = "sha256:DIGEST"


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the registry. `name`: its full name with digest."""

    name: str
    tags: tuple[str, ...]
    made: str

    @property
    def digest(self) -> str:
        """The digest, `sha256:...`."""
        return self.name.partition("@")[2]


def source_tag(root: Path) -> str:
    """A tag derived from the sources in `root`: the same files give the same tag, so they are built once."""
    found = hashlib.sha256()
    files = [path for package in _PACKAGES for path in (root / package).rglob("*") if path.is_file()]
    for path in sorted([*(root / path for path in _FILES), *files]):
        name = path.relative_to(root)
        if _LEFT_OUT.isdisjoint(name.parts):
            found.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"source-{found.hexdigest()[:16]}"


def installed_packages(root: Path) -> set[str]:
    """The names of the Python packages in the image that is built from the sources in `root`."""
    lock = (root / "functions" / "requirements.lock").read_text("utf-8")
    return set(re.findall(r"^([a-z0-9-]+)==", lock, re.M))


def listed(shell: Shell, target: Target) -> list[Image]:
    """The images in the registry, newest first; none in a dry run. Raises CommandFailed.

    It does not use `images describe`, which also needs Container Analysis, an API that is off in a new project.
    """
    output = shell.ask(
        *("gcloud", "artifacts", "docker", "images", "list", target.worker_image),
        *("--include-tags", "--format=json", f"--project={target.project}"),
        hint="Is there a deployment yet, and may you read its image repository?",
    )
    found = [
        Image(f"{each['package']}@{each['version']}", tuple(each["tags"]), each["createTime"])
        for each in json.loads(output or "[]")
    ]
    return sorted(found, key=lambda image: image.made, reverse=True)


def built(shell: Shell, target: Target) -> str:
    """The image of the current sources, by digest; built unless it exists. Raises CommandFailed."""
    tag = source_tag(shell.root)
    found = _tagged(tag, listed(shell, target))
    if found:
        shell.say(f"the image of these sources exists already: {found}")
        return found
    shell.run(
        *("gcloud", "builds", "submit", ".", "--config=infra/cloudbuild.yaml"),
        f"--substitutions=_IMAGE={target.worker_image}:{tag}",
        f"--gcs-source-staging-dir=gs://{target.bucket('models')}/builds",
        f"--service-account=projects/{target.project}/serviceAccounts/{target.builder}",
        *(f"--region={target.region}", f"--project={target.project}"),
        hint="New grants may need a minute to take effect; Cloud Build's log has the build's output.",
    )
    if shell.dry:
        return f"{target.worker_image}@{UNKNOWN}"
    found = _tagged(tag, listed(shell, target))
    if not found:
        raise CommandFailed(f"the build succeeded, but {target.worker_image}:{tag} is not in the registry.")
    return found


def chosen(images: list[Image], wanted: str) -> Image | None:
    """The image with this full name, digest or tag; None when there is none."""
    return next((each for each in images if wanted in (each.name, each.digest, *each.tags)), None)


def _tagged(tag: str, images: list[Image]) -> str:
    found = chosen(images, tag)
    return found.name if found else ""
