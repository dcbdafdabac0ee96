"""Makes the models of a registry ready before the twin's worker starts, also in a bucket of the twin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

_IN_TWIN = """The bucket is in the twin, which ends now. For these commands start it with a folder that keeps it:
  predictions up --data-dir DIR --worker none
and without REGISTRY and MODELS; then start it with them and the same --data-dir."""

_CLIENTS = ("STORAGE_EMULATOR_HOST", "GOOGLE_CLOUD_PROJECT")


def make_ready_for(env: Mapping[str, str]) -> None:
    """Check the aliases that a worker with these variables serves, and push the shipped model where it has no version.

    Creates the folder of a registry in a folder. Raises RegistryError, with the commands that create what is missing.
    """
    from infra.served_models import AliasesMissing, make_ready
    from model.registry.bucket import SCHEME
    from model.registry.registry import Registry

    with _variables({name: env[name] for name in _CLIENTS}):
        registry = Registry.at(env["REGISTRY"])
        if not registry.address.startswith(SCHEME):
            Path(registry.address).mkdir(parents=True, exist_ok=True)
        try:
            for pushed in make_ready(registry, [name.strip() for name in env["MODELS"].split(",")]):
                print(pushed, file=sys.stderr, flush=True)
        except AliasesMissing as exc:
            raise AliasesMissing(f"{exc}\n{_IN_TWIN}" if registry.address.startswith(SCHEME) else str(exc)) from None


@contextmanager
def _variables(given: Mapping[str, str]) -> Iterator[None]:
    """Set variables that Google's clients read, for the block."""
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
