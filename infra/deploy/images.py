"""The worker's images: built by Cloud Build under a tag that names their sources, found again, and run by digest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from infra.deploy.shell import Shell, Stopped
from infra.deploy.target import Target

_ROOMS = ("functions", "model")
_BESIDE = (Path("Dockerfile"), Path("infra") / "slim.py")
_LEFT_OUT = {"training", "__pycache__"}
"""All that an image is made of, and a few files more that .dockerignore keeps out."""

UNKNOWN = "sha256:DIGEST"
"""Stands in a dry run for the digest that the registry would tell."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image in the registry. `name`: full, by digest."""

    name: str
    tags: tuple[str, ...]
    made: str

    @property
    def digest(self) -> str:
        """sha256:…"""
        return self.name.partition("@")[2]


def source_tag(root: Path) -> str:
    """The tag for what lies in `root`: the same files make the same one, so they are built once."""
    found = hashlib.sha256()
    files = [path for room in _ROOMS for path in (root / room).rglob("*") if path.is_file()]
    for path in sorted([*(root / path for path in _BESIDE), *files]):
        name = path.relative_to(root)
        if _LEFT_OUT.isdisjoint(name.parts):
            found.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"source-{found.hexdigest()[:16]}"


def listed(shell: Shell, target: Target) -> list[Image]:
    """What is in the registry, newest first; nothing in a dry run. Raises Stopped.

    Not `images describe`: it asks Container Analysis too, which a new project has not switched on.
    """
    said = shell.ask(
        *("gcloud", "artifacts", "docker", "images", "list", target.worker_image),
        *("--include-tags", "--format=json", f"--project={target.project}"),
        otherwise="Is there a deployment yet, and may you read its image repository?",
    )
    found = [
        Image(f"{each['package']}@{each['version']}", tuple(each["tags"]), each["createTime"])
        for each in json.loads(said or "[]")
    ]
    return sorted(found, key=lambda image: image.made, reverse=True)


def built(shell: Shell, target: Target) -> str:
    """The image of what lies here, by digest; built unless it is there already. Raises Stopped."""
    tag = source_tag(shell.root)
    found = _tagged(tag, listed(shell, target))
    if found:
        shell.say(f"an image of these sources is there already, so none is built: {found}")
        return found
    shell.run(
        *("gcloud", "builds", "submit", ".", "--config=infra/cloudbuild.yaml"),
        f"--substitutions=_IMAGE={target.worker_image}:{tag}",
        f"--gcs-source-staging-dir=gs://{target.bucket('models')}/builds",
        f"--service-account=projects/{target.project}/serviceAccounts/{target.builder}",
        *(f"--region={target.region}", f"--project={target.project}"),
        otherwise="Grants may need a minute after they are made; what the build said is in Cloud Build's log.",
    )
    if shell.dry:
        return f"{target.worker_image}@{UNKNOWN}"
    found = _tagged(tag, listed(shell, target))
    if not found:
        raise Stopped(f"the build ended, but {target.worker_image}:{tag} is not in the registry.")
    return found


def chosen(images: list[Image], wanted: str) -> Image | None:
    """The image that is meant by its full name, its digest or one of its tags."""
    return next((each for each in images if wanted in (each.name, each.digest, *each.tags)), None)


def _tagged(tag: str, images: list[Image]) -> str:
    found = chosen(images, tag)
    return found.name if found else ""
