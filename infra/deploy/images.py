"""The images of worker and page: built by Cloud Build with a tag of their sources, looked up, and deployed by digest.

The base image is a source too: its digest is resolved again for each deployment, so its security fixes lead to a build.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from infra.deploy.base_image import is_pinned, untagged
from infra.deploy.existing_deployment import ExistingDeployment
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.target import Target, UsageError
from model.artifact.load import ENGINES
from model.text import quoted

_SLIM = Path("infra") / "slim.py"
# Folders of the sources that are not in an image (.dockerignore).
_LEFT_OUT = {"training", "samples", "__pycache__"}

# The lock files of functions/, one of which an image installs: LiteRT alone, and with ONNX Runtime; with a GPU, ONNX
# Runtime or TensorFlow with CUDA. The smallest comes first.
LOCKS = "requirements.lock", "requirements-onnx.lock"
GPU_LOCKS = "requirements-gpu-onnx.lock", "requirements-gpu-savedmodel.lock"

# Installed in addition, for a worker that consumes Kafka.
KAFKA_LOCK = "requirements-kafka.lock"

# Packages with the same module as another one.
_SAME = {"onnxruntime-gpu": "onnxruntime"}

_BASE = re.compile(r"^ARG BASE=(\S+)$", re.M)

# Stands for the registry's digest in a dry run.
UNKNOWN = "sha256:DIGEST"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What an image is built from: its Dockerfile, and the packages in it. `name`: the image's in the registry."""

    name: str
    dockerfile: Path
    packages: tuple[str, ...]


WORKER = Recipe("worker", Path("Dockerfile"), ("functions", "model"))
PAGE = Recipe("page", Path("infra") / "page.Dockerfile", ("client", "functions", "model"))


@dataclass(frozen=True, slots=True)
class Build:
    """How to build. `base`: the base image, without it the Dockerfile's; `again`: also when the image exists; `lock`:
    the lock file that is installed, of the worker one of LOCKS or GPU_LOCKS; `also`: one that is installed too."""

    base: str = ""
    again: bool = False
    lock: str = LOCKS[0]
    recipe: Recipe = WORKER
    also: str = ""

    @property
    def locks(self) -> str:
        """The lock files that are installed, as the tag of the sources counts them."""
        return ",".join(filter(None, (self.lock, self.also)))

    @property
    def of_page(self) -> Build:
        """The same for the page's image."""
        return replace(self, lock=LOCKS[0], recipe=PAGE, also="")


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


def source_tag(root: Path, base: str, lock: str = LOCKS[0], recipe: Recipe = WORKER) -> str:
    """A tag derived from the sources in `root`, the base image's digest and the lock files that are installed: equal
    sources are built once."""
    found = hashlib.sha256(f"{base}\n{lock}\n".encode())
    files = [path for package in recipe.packages for path in (root / package).rglob("*") if path.is_file()]
    for path in sorted([root / recipe.dockerfile, root / _SLIM, *files]):
        name = path.relative_to(root)
        if _LEFT_OUT.isdisjoint(name.parts):
            found.update(f"{name.as_posix()}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return f"source-{found.hexdigest()[:16]}"


def base_image(shell: Shell, build: Build) -> str:
    """The base image by digest; its registry is asked unless `build` contains one. Raises CommandFailed."""
    [default] = _BASE.findall((shell.root / build.recipe.dockerfile).read_text("utf-8"))
    name = build.base or default
    if is_pinned(name):
        return name
    found = shell.ask(
        *shell.python("infra.deploy", "base-image", name),
        hint="Without access to that registry, set BASE_IMAGE to an image with its digest: NAME@sha256:...",
    )
    return found or f"{untagged(name)}@{UNKNOWN}"


def installed_packages(root: Path, lock: str = LOCKS[0]) -> set[str]:
    """The names of the Python packages in the image that is built from the sources in `root` with a lock file; a form
    of a package for GPUs has the package's name."""
    names = re.findall(r"^([a-z0-9-]+)==", (root / "functions" / lock).read_text("utf-8"), re.M)
    return {_SAME.get(name, name) for name in names}


def smallest_lock(root: Path, target: Target, engines: Mapping[str, Sequence[str]]) -> str:
    """The lock file of the smallest image that has an engine for each model. Raises UsageError when none has.

    `engines`: the engines of each model, by words that name it, such as `ARTIFACT is 'folder'`.
    """
    usable = {
        what: [name for name in names if name in ENGINES and (ENGINES[name].uses_gpu or not target.gpu)]
        for what, names in engines.items()
    }
    for what in (what for what, names in usable.items() if target.gpu and not names):
        raise UsageError(
            f"gpu is {quoted(target.gpu)}, and {what}, whose engine {', '.join(engines[what])} uses no GPU: import the "
            "model with --engines onnx or savedmodel, or remove gpu"
        )
    locks = GPU_LOCKS if target.gpu else LOCKS
    known: dict[str, None] = {}
    lacking: dict[str, None] = {}
    for lock in locks[:1] if target.compute == "function" else locks:  # a function's archive has the first one
        packages = installed_packages(root, lock)
        held = {name: None for name, runtime in ENGINES.items() if runtime.requirement in packages}
        without = {what: None for what, names in usable.items() if held.keys().isdisjoint(names)}
        if not without:
            return lock
        known, lacking = known | held, lacking | without
    what = next(iter(lacking))
    raise UsageError(
        f"{what}, which has the engine {', '.join(engines[what])}; the worker can hold {' or '.join(known)} "
        f"(functions/requirements*.txt): export or import the model with --engines {next(iter(known))}"
    )


def listed(shell: Shell, target: Target, recipe: Recipe = WORKER) -> list[Image]:
    """The images in the registry, newest first; none in a dry run. Raises CommandFailed.

    It does not use `images describe`, which also needs Container Analysis, an API that is off in a new project.
    """
    output = shell.ask(
        *("gcloud", "artifacts", "docker", "images", "list", target.image(recipe.name)),
        *("--include-tags", "--format=json", f"--project={target.project}"),
        hint="Is there a deployment yet, and may you read its image repository?",
    )
    found = [
        Image(f"{each['package']}@{each['version']}", _tags(each["tags"]), each["createTime"])
        for each in json.loads(output or "[]")
    ]
    return sorted(found, key=lambda image: image.made, reverse=True)


def built(shell: Shell, target: Target, build: Build, existing: ExistingDeployment) -> str:
    """The image of the current sources, by digest; built unless it exists. Raises CommandFailed."""
    base, tag = _sources(shell, build)
    image = target.image(build.recipe.name)
    found = _tagged(tag, listed(shell, target, build.recipe))
    if found and not build.again:
        shell.say(f"the image of these sources exists already: {found}")
        return found
    file = "" if build.recipe is WORKER else f",_FILE={build.recipe.dockerfile.as_posix()}"
    also = f",_ALSO={build.also}" if build.also else ""
    pool = (f"--worker-pool={target.build_pool}",) if target.build_pool else ()
    shell.run(
        # Only the beta command prints logs that are in Cloud Logging.
        *("gcloud", "beta", "builds", "submit", ".", "--config=infra/cloudbuild.yaml"),
        f"--substitutions=_IMAGE={image}:{tag},_BASE={base},_LOCK={build.lock}{also}{file}",
        f"--gcs-source-staging-dir=gs://{existing.build_bucket(target)}/builds",
        f"--service-account=projects/{target.project}/serviceAccounts/{existing.builder(target)}",
        *(*pool, f"--region={target.build_region}", f"--project={target.project}"),
        hint="New grants may need a minute to take effect. Without the beta commands: gcloud components install beta",
    )
    if shell.dry:
        return f"{image}@{UNKNOWN}"
    found = _tagged(tag, listed(shell, target, build.recipe))
    if not found:
        raise CommandFailed(f"the build succeeded, but {image}:{tag} is not in the registry.")
    return found


def expected(shell: Shell, target: Target, build: Build, has_registry: bool) -> str:
    """The image that a deployment would run: by digest, or by tag when it is not built yet. Raises CommandFailed."""
    _, tag = _sources(shell, build)
    found = _tagged(tag, listed(shell, target, build.recipe)) if has_registry else ""
    if not found:
        shell.say("the image of these sources is not built yet: the plan has its tag instead of its digest")
    return found or f"{target.image(build.recipe.name)}:{tag}"


def chosen(images: list[Image], wanted: str) -> Image | None:
    """The image with this full name, digest or tag; None when there is none."""
    return next((each for each in images if wanted in (each.name, each.digest, *each.tags)), None)


def _sources(shell: Shell, build: Build) -> tuple[str, str]:
    """The base image by digest, and the tag of the sources with it."""
    base = base_image(shell, build)
    if base.endswith(UNKNOWN):
        return base, "source-HASH"
    return base, source_tag(shell.root, base, build.locks, build.recipe)


def _tagged(tag: str, images: list[Image]) -> str:
    found = chosen(images, tag)
    return found.name if found else ""


def _tags(given: str | list[str]) -> tuple[str, ...]:
    """The tags of an image; older versions of gcloud join them with commas."""
    return tuple(filter(None, given.split(", "))) if isinstance(given, str) else tuple(given)
