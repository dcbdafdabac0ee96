"""Imports the three pretrained ImageNet models into a registry before the twin starts, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from infra.local.child import ChildFailed
from infra.local.worker import ROOT
from model.registry.registry import Registry
from model.training.importing.pretrained import NAMES, missing

REGISTRY = ROOT / "build" / "pretrained"
"""Where the models are, unless another registry is named."""

MODELS = ",".join(NAMES)
"""The models that are served, the default first."""


def import_all(weights: Path, registry: str) -> None:
    """Import the models that a registry in a folder lacks, which takes a minute. Raises ChildFailed and RegistryError.

    TensorFlow, which the import needs, ends with the process.
    """
    Path(registry).mkdir(parents=True, exist_ok=True)
    if missing(Registry.at(registry)):
        command = [sys.executable, "-m", "model", "pretrained", str(weights.absolute()), "--registry", registry]
        if subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
            raise ChildFailed("the pretrained models are not imported; the line above says why")
