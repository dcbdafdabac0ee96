"""Folders as people get them: Hugging Face repositories and exports of timm, with small ONNX networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import TensorProto, helper

from tests.onnx_models import EDGES, network, saved

VIT: dict[str, Any] = {
    "do_normalize": True,
    "do_rescale": True,
    "do_resize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_processor_type": "ViTImageProcessor",
    "image_std": [0.5, 0.5, 0.5],
    "resample": 2,
    "rescale_factor": 0.00392156862745098,
    "size": {"height": EDGES[0], "width": EDGES[1]},
}
"""The preprocessor_config.json of a ViT, for images of the size of `tests.onnx_models.network`."""

CONFIG: dict[str, Any] = {
    "_name_or_path": "someone/vit-pets",
    "architectures": ["ViTForImageClassification"],
    "id2label": {"0": "tabby, tabby cat", "1": "Samoyed", "2": "red fox"},
    "image_size": 224,
    "label2id": {"tabby, tabby cat": 0, "Samoyed": 1, "red fox": 2},
    "model_type": "vit",
    "problem_type": "single_label_classification",
    "transformers_version": "4.46.1",
}
"""Its config.json."""

TIMM: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": 3,
    "num_features": 512,
    "global_pool": "avg",
    "label_names": ["n02123045", "n02111889", "n02119022"],
    "label_descriptions": {"n02123045": "tabby", "n02111889": "Samoyed", "n02119022": "red fox"},
    "pretrained_cfg": {
        "tag": "a1_in1k",
        "input_size": [3, 6, 5],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "crop_mode": "center",
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "num_classes": 3,
        "first_conv": "conv1",
        "classifier": "fc",
    },
}
"""The config.json that timm writes for a network."""


def open_edges(made: Any) -> Any:
    """The network as exporters of transformers write it: no edge of its images is fixed."""
    shape = made.graph.input[0].type.tensor_type.shape
    for dim, name in zip(shape.dim, ("batch_size", "num_channels", "height", "width"), strict=True):
        dim.ClearField("dim_value")
        dim.dim_param = name
    return made


def repository(
    folder: Path,
    *,
    config: Mapping[str, Any] | None = CONFIG,
    preprocessor: Mapping[str, Any] | None = VIT,
    files: Mapping[str, Any] | None = None,
) -> Path:
    """A folder with these texts and these ONNX models, by default one network that gives logits and whose edges are
    open. None leaves a text out."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (("config.json", config), ("preprocessor_config.json", preprocessor)):
        if content is not None:
            (folder / name).write_text(json.dumps(content, indent=2))
    for name, made in (files if files is not None else {"onnx/model.onnx": open_edges(network(last=None))}).items():
        (folder / name).parent.mkdir(exist_ok=True)
        saved(folder / name, made)
    return folder


def without(content: Mapping[str, Any], *names: str, **changes: Any) -> dict[str, Any]:
    """The text without some keys, and with others changed."""
    return {key: value for key, value in content.items() if key not in names} | changes


def segmenter() -> Any:
    """A network that gives a map of logits [N, 3, height, width] for each image."""
    made = network(last=None)
    del made.graph.node[1:]
    made.graph.node[0].output[0] = "scores"
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 3, *EDGES]))
    return made


def many(count: int, **more: Any) -> dict[str, Any]:
    """config.json with this count of labels."""
    return without(CONFIG, id2label={str(n): f"label {n}" for n in range(count)}, **more)
