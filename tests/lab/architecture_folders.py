"""Folders as transformers saves them, with the small networks of tests.lab.architectures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from model.training.importing.architectures.build import architecture_of, build
from model.training.importing.fields import Fields
from tests.hub_folders import VIT
from tests.lab.architectures import GOLDEN, array, images

KNOWN: dict[str, Any] = json.loads(GOLDEN.read_text(encoding="utf-8"))
LABELS = {"0": "coat", "1": "bag", "2": "boot"}
Arrays = dict[str, np.ndarray[Any, Any]]


def arrays_of(title: str) -> Arrays:
    return {name: array(name, shape) for name, shape in KNOWN[title]["shapes"].items()}


def repository(folder: Path, title: str = "ViT", arrays: Arrays | None = None, **changes: Any) -> Path:
    """A folder with the network's configuration, with changes, and its weights."""
    folder.mkdir(exist_ok=True)
    height, width = KNOWN[title]["size"]
    config = {**KNOWN[title]["config"], "id2label": LABELS, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "preprocessor_config.json").write_text(json.dumps({**VIT, "size": {"height": height, "width": width}}))
    save_file(arrays_of(title) if arrays is None else arrays, folder / "model.safetensors", {"format": "pt"})
    return folder


def logits(folder: Path, title: str = "ViT") -> Any:
    size = tuple(KNOWN[title]["size"])
    config = Fields(json.loads((folder / "config.json").read_text()), "config.json")
    architecture = architecture_of(config)
    assert architecture
    return build(folder, config, architecture, size).predict_on_batch(images(size))


def expected(title: str = "ViT") -> Any:
    return np.asarray(KNOWN[title]["logits"])


def sharded(folder: Path) -> Path:
    """The weights in two files and an index."""
    repository(folder)
    names = sorted(arrays_of("ViT"))
    parts = {"model-00001-of-00002.safetensors": names[:9], "model-00002-of-00002.safetensors": names[9:]}
    for part, held in parts.items():
        save_file({name: arrays_of("ViT")[name] for name in held}, folder / part)
    found = {name: part for part, held in parts.items() for name in held}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": found}))
    (folder / "model.safetensors").unlink()
    return folder
