"""Models that come as files: .tflite, .onnx, and networks of PyTorch, which another process exports and scores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tensorflow as tf

from model.engines.base import Images
from model.training.importing import catalog
from tests.bench.imports.of_keras import WEIGHTS
from tests.bench.imports.subject import Made, Photos, Score, Subject, softmax
from tests.bench.parts import ROOT

TORCHVISION = "resnet50", "densenet121", "mobilenet_v2", "efficientnet_b0"

_RECIPE = ROOT / "model" / "training" / "recipes" / "efficientnet-lite0.json"


def subjects(weights: Path, photos: Photos) -> list[Subject]:
    """`weights`: the folder with the trained models."""
    lite = "mobilenet_v2_1.0_224_quant.tflite", "tf2_mobilenet_v2_1.0_224_ptq.tflite"
    return [
        *(
            Subject("TensorFlow Lite", f"MobileNetV2, {name}", partial(_lite, weights / file), real=True)
            for name, file in zip(("uint8", "int8"), lite, strict=True)
        ),
        Subject(
            *("TensorFlow Lite", "MobileNet 0.75, float32", partial(_converted, weights / WEIGHTS)),
            ("--pixels=tf",),
            real=True,
        ),
        *(
            Subject("PyTorch", name, partial(_torch, photos, name), ("--pixels=torch", "--outputs=logits"))
            for name in TORCHVISION
        ),
        Subject(
            *("ONNX", "EfficientNet-Lite0", partial(_onnx, weights / "efficientnet-lite0.onnx")),
            ("--recipe=lite0.json", "--outputs=logits"),
            real=True,
        ),
    ]


def _lite(file: Path) -> Made:
    shutil.copyfile(file, file.name)
    return Made(file.name, partial(_scores_of_lite, file.name))


def _converted(weights: Path) -> Made:
    network = catalog.build(catalog.find("MobileNet"), str(weights), alpha=0.75)
    Path("mobilenet.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
    return Made("mobilenet.tflite", partial(_scores_of_lite, "mobilenet.tflite"))


def _scores_of_lite(file: str, images: Images) -> Any:
    """The scores of TensorFlow's own interpreter, one image at a time."""
    interpreter = tf.lite.Interpreter(file, num_threads=1)
    interpreter.allocate_tensors()
    [given], [made] = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(given["index"], _quantised(image[None], given))
        interpreter.invoke()
        rows.append(_real(interpreter.get_tensor(made["index"]), made))
    return np.concatenate(rows)


def _quantised(images: Images, tensor: Any) -> Any:
    scale, zero = tensor["quantization"]
    if not scale:
        return images
    whole = np.iinfo(tensor["dtype"])
    return np.clip(np.rint(images / scale) + zero, whole.min, whole.max).astype(tensor["dtype"])


def _real(values: Any, tensor: Any) -> Any:
    scale, zero = tensor["quantization"]
    return (values.astype(np.float32) - zero) * scale if scale else values


def _onnx(file: Path) -> Made:
    shutil.copyfile(file, file.name)
    shutil.copyfile(_RECIPE, "lite0.json")
    logits = scores_of_onnx(file.name)
    return Made(file.name, lambda images: softmax(logits(images)))


def scores_of_onnx(file: str, *, channels_first: bool = True) -> Score:
    """The numbers that ONNX Runtime gives without this project, for images with their channels last. ONNX names no
    framework that made a file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def score(images: Images) -> Any:
        given = images.transpose(0, 3, 1, 2) if channels_first else images
        return np.concatenate([session.run(None, {name: each[None]})[0] for each in given])

    return score


def _torch(photos: Photos, name: str) -> Made:
    np.save("statistics.npy", photos.prepared("torch", 224).transpose(0, 3, 1, 2))
    _run_torch("export", name)

    def score(images: Images) -> Any:
        np.save("images.npy", images.transpose(0, 3, 1, 2))
        _run_torch("score", name)
        return softmax(np.load("logits.npy"))

    return Made(f"{name}.onnx", score)


def _run_torch(action: str, name: str) -> None:
    """Torch and TensorFlow do not get along in one process."""
    command = [sys.executable, str(ROOT / "tests" / "bench" / "imports" / "torch_network.py"), action, name]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"PyTorch: {done.stderr.strip().splitlines()[-1]}")
