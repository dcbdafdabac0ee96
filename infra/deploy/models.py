"""The models of a deployment's registry: their aliases exist before the worker does, and its image has an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from google.api_core.exceptions import GoogleAPIError
from google.auth.exceptions import GoogleAuthError

from client.text import plain
from infra.deploy.existing_deployment import ExistingDeployment
from infra.deploy.images import LOCKS, smallest_lock
from infra.deploy.shell import CommandFailed, Shell
from infra.deploy.target import Target
from infra.deploy.terraform import Terraform
from infra.served_models import engines, make_ready
from model.errors import RegistryError
from model.registry.aliases import STABLE
from model.registry.names import parse_ref
from model.registry.registry import Registry
from model.registry.shares import shares


def prepared(shell: Shell, target: Target, existing: ExistingDeployment) -> str:
    """Check the aliases that the worker is to serve, and push the shipped model where it has no version yet.

    Returns the lock file of an image that serves them. Raises CommandFailed, with the commands that create the missing
    aliases, and UsageError when no image can serve them.
    """
    address = existing.registry(target)
    shell.say(f"the aliases that {address} must have: {', '.join(target.models)}")
    if shell.dry:
        return LOCKS[0]
    with _errors(address):
        registry = Registry.at(address)
        for pushed in make_ready(registry, target.models):
            shell.say(pushed)
    return _lock(shell, target, address)


def expected_lock(shell: Shell, target: Target, existing: ExistingDeployment) -> str:
    """The lock file of the image that a deployment would build; the first one while aliases are missing."""
    try:
        return LOCKS[0] if shell.dry else _lock(shell, target, existing.registry(target))
    except CommandFailed as exc:
        shell.say(f"the plan has the smallest image, because the deployment would stop: {exc}".replace("\n", "\n# "))
        return LOCKS[0]


def report(shell: Shell, target: Target) -> None:
    """Print the registry of a deployment, and the aliases of the models that it serves. Raises CommandFailed."""
    terraform = Terraform(shell, target)
    terraform.init()
    existing = ExistingDeployment(terraform.outputs())
    if not shell.dry and not existing.models:
        raise CommandFailed(
            f"{target.workspace} serves no models of a registry: set models in TFVARS, such as "
            'models = ["fashion-mnist"], and run make deploy'
        )
    show(shell, target, existing)


def show(shell: Shell, target: Target, existing: ExistingDeployment) -> None:
    """Print the aliases of the models that are served. Raises CommandFailed."""
    address = existing.registry(target)
    shell.say(f"the models in {address}:")
    if shell.dry:
        return
    with _errors(address):
        registry = Registry.at(address)
        for ref in map(parse_ref, existing.models):
            for each in shares(registry.aliases(ref.name), ref.alias or STABLE):
                name, version, digest = f"{ref.name}@{each.alias}", each.target.version, each.target.digest
                print(f"{name:<30}  {version:<12}  {digest[:19]}  {each}", flush=True)


def _lock(shell: Shell, target: Target, address: str) -> str:
    with _errors(address):
        found = engines(Registry.at(address), target.models)
    return smallest_lock(shell.root, target, {f"models has {model}": names for model, names in found.items()})


@contextmanager
def _errors(address: str) -> Iterator[None]:
    try:
        yield
    except RegistryError as exc:
        raise CommandFailed(str(exc)) from exc
    except (GoogleAPIError, GoogleAuthError, OSError) as exc:
        raise CommandFailed(f"{address} cannot be read: {plain(exc)}") from exc
