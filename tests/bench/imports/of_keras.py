"""Models of Keras 3, files as Keras 2 writes them, SavedModels, and the zip of Teachable Machine."""

from __future__ import annotations

import shutil
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from model.engines.base import Images
from model.training.importing import catalog
from tests.bench.imports.subject import Made, Photos, Score, Subject, softmax, spread
from tests.keras2_files import saved
from tests.networks import traced

WEIGHTS = "mobilenet_v1_0.75_224_keras_fp32.npz"
_ALPHA = 0.75


def subjects(weights: Path, photos: Photos) -> list[Subject]:
    """`weights`: the folder with the trained weights."""
    labels, pixels = "--labels=labels.txt", "--pixels"
    real = partial(_mobile_net, weights / WEIGHTS)
    random = partial(_random, photos)
    return [
        Subject(
            *("Keras 3", "MobileNet 0.75", partial(_from_catalog, weights / WEIGHTS)),
            fixed=(f"--alpha={_ALPHA}", f"--weights={WEIGHTS}"),
            real=True,
        ),
        Subject("Keras 3", "MobileNetV2", partial(_as_keras, random, "MobileNetV2"), (f"{pixels}=tf",)),
        Subject("Keras 3", "ResNet50", partial(_as_keras, random, "ResNet50"), (f"{pixels}=caffe",)),
        Subject("Keras 3", "EfficientNetB0", partial(_as_keras, random, "EfficientNetB0"), (f"{pixels}=raw",)),
        Subject(
            *("Keras 3", "multi-label head", partial(_as_keras, partial(_multi_label, photos), "tags")),
            (f"{pixels}=tf", labels),
        ),
        Subject(
            "Keras 2", "MobileNet 0.75, .h5", partial(_as_keras2, real, "mobilenet.h5"), (f"{pixels}=tf",), real=True
        ),
        Subject(
            "Keras 2",
            "MobileNetV2, .h5",
            partial(_as_keras2, partial(random, "MobileNetV2"), "v2.h5"),
            (f"{pixels}=tf",),
        ),
        Subject(
            *("Keras 2", "small network, .keras", partial(_as_keras2, partial(_tutorial, photos), "flowers.keras")),
            (labels, f"{pixels}=raw", "--outputs=logits"),
        ),
        Subject(
            "TensorFlow", "MobileNet 0.75", partial(_as_saved_model, real, "mobilenet"), (f"{pixels}=tf",), real=True
        ),
        Subject(
            *("TensorFlow", "MobileNetV3Large", partial(_as_saved_model, partial(random, "MobileNetV3Large"), "v3")),
            (f"{pixels}=raw",),
        ),
        Subject(
            *("TensorFlow", "tf.Module of its own", partial(_module, photos)),
            (labels, f"{pixels}=unit", "--outputs=logits"),
        ),
        Subject("Teachable Machine", "zip of an .h5", partial(_machine, real, photos), (f"{pixels}=tf",)),
    ]


def scores_of(network: Any, logits: bool = False) -> Score:
    """Keras' own scores of a network."""

    def score(images: Images) -> Any:
        made = network.predict(images, batch_size=32, verbose=0)
        return softmax(made) if logits else made

    return score


def _mobile_net(weights: Path) -> Any:
    """MobileNet with trained weights."""
    return catalog.build(catalog.find("MobileNet"), str(weights), alpha=_ALPHA)


def _random(photos: Photos, name: str) -> Any:
    """A network of the catalog with random weights."""
    keras.utils.set_random_seed(1)
    architecture = catalog.find(name)
    network = catalog.build(architecture, catalog.NO_WEIGHTS)
    return _with_statistics(network, photos.prepared(architecture.pixels, architecture.size))


def _with_statistics(network: Any, images: Images) -> Any:
    """The network with the photos' statistics: in its normalisations, and by `spread` in its last layer."""
    normal = [layer for layer in network._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    momenta = [layer.momentum for layer in normal]
    for layer in normal:
        layer.momentum = 0.0  # the statistics of the next batch alone
    network(images, training=True)
    for layer, momentum in zip(normal, momenta, strict=True):
        layer.momentum = momentum
    last = [layer for layer in network.layers if isinstance(layer, layers.Dense | layers.Conv2D)][-1]
    kernel, offset = last.get_weights()
    features = keras.Model(network.inputs, last.input).predict(images, verbose=0).reshape(len(images), -1)
    changed = spread(features, kernel.reshape(features.shape[1], -1), offset)
    last.set_weights([changed[0].reshape(kernel.shape), changed[1]])
    return network


def _multi_label(photos: Photos, name: str) -> Any:
    """Twenty labels that do not exclude each other, on MobileNetV2 of a third of its width."""
    keras.utils.set_random_seed(2)
    base = keras.applications.MobileNetV2(
        (160, 160, 3), 0.35, include_top=False, weights=None, pooling="avg", name=name
    )
    network = keras.Model(base.input, layers.Dense(20, "sigmoid")(base.output))
    _write_labels(20)
    return _with_statistics(network, photos.prepared("tf", 160))


def _tutorial(photos: Photos) -> Any:
    """A small network as introductions build it: it scales and augments its input, and ends with logits."""
    keras.utils.set_random_seed(3)
    network = keras.Sequential([keras.Input((180, 180, 3)), layers.RandomFlip(), layers.RandomRotation(0.1)])
    network.add(layers.Rescaling(1 / 255))
    for filters in (16, 32, 64):
        network.add(layers.Conv2D(filters, 3, padding="same", activation="relu"))
        network.add(layers.MaxPooling2D())
    for layer in (layers.Dropout(0.2), layers.Flatten(), layers.Dense(128, "relu"), layers.Dense(5)):
        network.add(layer)
    _write_labels(5)
    return _with_statistics(network, photos.prepared("raw", 180))


def _machine(real: Any, photos: Photos) -> Made:
    """The form of Teachable Machine: a Sequential of Sequentials around MobileNet, in a zip with its labels."""
    whole = real()
    base = keras.Model(whole.input, whole.get_layer("conv_pw_13_relu").output)
    body = keras.Sequential([keras.Input((224, 224, 3)), base, layers.GlobalAveragePooling2D()])
    keras.utils.set_random_seed(4)
    images = photos.prepared("tf", 224)
    features = body.predict(images, verbose=0)
    last = layers.Dense(3, "softmax")
    head = keras.Sequential([keras.Input(features.shape[1:]), layers.Dense(100, "relu"), last])
    kernel, offset = last.get_weights()
    last.set_weights(spread(head.layers[0](features).numpy(), kernel, offset))
    network = keras.Sequential([keras.Input((224, 224, 3)), body, head])
    file = saved(network, Path("keras_model.h5"))
    with zipfile.ZipFile("converted_keras.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(file)
        packed.writestr("labels.txt", "0 Class 1\n1 Class 2\n2 Class 3\n")
    return Made("converted_keras.zip", scores_of(network))


def _module(photos: Photos) -> Made:
    """A SavedModel that was made without Keras, with logits of five labels."""
    rng = np.random.default_rng(5)

    class Module(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = tf.Variable(rng.normal(0, 0.2, (5, 5, 3, 32)).astype("f"))
            self.kernel = tf.Variable(rng.normal(size=(32, 5)).astype("f"))
            self.offset = tf.Variable(np.zeros(5, "f"))

        def features(self, images: Any) -> Any:
            return tf.reduce_mean(tf.nn.relu(tf.nn.conv2d(images, self.first, 4, "SAME")), (1, 2))

        @traced(None, 128, 128, 3)
        def __call__(self, images: Any) -> Any:
            return {"logits": self.features(images) @ self.kernel + self.offset}

    module = Module()
    features = module.features(photos.prepared("unit", 128)).numpy()
    for variable, value in zip(
        (module.kernel, module.offset), spread(features, module.kernel.numpy(), 0.0), strict=True
    ):
        variable.assign(value.astype("f"))
    tf.saved_model.save(module, "module", signatures=module.__call__)
    _write_labels(5)
    return Made("module", _scores_of_saved_model("module", logits=True))


def _from_catalog(weights: Path) -> Made:
    shutil.copyfile(weights, WEIGHTS)
    return Made("MobileNet", scores_of(_mobile_net(weights)))


def _as_keras(make: Any, name: str) -> Made:
    network = make(name)
    network.save(f"{name.lower()}.keras")
    return Made(f"{name.lower()}.keras", scores_of(network))


def _as_keras2(make: Any, file: str) -> Made:
    network = make()
    saved(network, Path(file))
    return Made(file, scores_of(network, logits=network.output_shape == (None, 5)))


def _as_saved_model(make: Any, folder: str) -> Made:
    make().export(folder, verbose=False)
    return Made(folder, _scores_of_saved_model(folder))


def _scores_of_saved_model(folder: str, logits: bool = False) -> Score:
    """TensorFlow's own scores of a SavedModel."""
    loaded = tf.saved_model.load(folder)
    function = loaded.signatures["serving_default"]
    [given] = function.structured_input_signature[1]

    def score(images: Images) -> Any:
        parts = [images[start : start + 32] for start in range(0, len(images), 32)]
        made = [next(iter(function(**{given: tf.constant(part)}).values())).numpy() for part in parts]
        assert loaded, "its variables live as long as the function"
        return softmax(np.concatenate(made)) if logits else np.concatenate(made)

    return score


def _write_labels(count: int) -> None:
    Path("labels.txt").write_text("".join(f"label {number}\n" for number in range(count)))
