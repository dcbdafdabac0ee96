"""Converts a trained network to LiteRT variants of different precision. selection.py selects the served one.

The variants are those of TensorFlow Lite's "Post-training quantization". Inputs and outputs stay float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.lite.tools import flatbuffer_utils

from model.engines.base import Images, Signature
from model.engines.signature_checks import check_images
from model.text import reason
from model.training.errors import ExportError
from model.training.export.source import Endpoints


def convert(saved_model: Path, endpoints: Endpoints, variant: str, samples: Images) -> bytes:
    """Convert the SavedModel's endpoints to one LiteRT file that shares their weights; the first one is the default.

    `samples`: representative inputs [N, height, width, channels], used only for int8. Raises ExportError for a model
    with operations that LiteRT lacks.
    """
    try:
        return _with_default(_convert(saved_model, endpoints, variant, samples), endpoints.names[0])
    except OSError:  # for instance a full disk, which is not the model's fault
        raise
    except Exception as exc:  # the converter raises ConverterError, and ValueError from several layers below it
        raise ExportError(reason(exc)) from exc


def check_samples(samples: Images, signature: Signature) -> None:
    """Raise ExportError unless the representative images match the network's input."""
    try:
        check_images(samples, signature)
    except ValueError as exc:
        raise ExportError(f"the representative images cannot be used: {exc}") from exc


def _convert(saved_model: Path, endpoints: Endpoints, variant: str, samples: Images) -> bytes:
    # From the SavedModel, because a tf.Module around the network would convert without its weights. With endpoint
    # names, because the converter otherwise adds a second, unquantised copy of the first endpoint.
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=list(endpoints.names))
    if variant == "float32":
        return bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "dynamic":
        return bytes(converter.convert())
    if variant == "float16":
        converter.target_spec.supported_types = [tf.float16]
        return bytes(converter.convert())

    def representative() -> Iterator[tuple[str, dict[str, Any]]]:
        for image in samples:
            for endpoint in endpoints.names:
                yield endpoint, {endpoints.input: image[np.newaxis]}

    converter.representative_dataset = representative
    # The softmax stays in float: int8 scores would be multiples of 1/256 whose sum is not 1.
    options = tf.lite.experimental.QuantizationDebugOptions(denylisted_ops=["SOFTMAX"])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*tf.lite.Interpreter is deprecated", category=UserWarning)
        debugger = tf.lite.experimental.QuantizationDebugger(
            converter=converter, debug_dataset=representative, debug_options=options
        )
        return bytes(debugger.get_nondebug_quantized_model())


def _with_default(model: bytes, endpoint: str) -> bytes:
    """Move this endpoint's graph to the front, where interpreters look by default: the converter sorts by name."""
    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(model))
    (place,) = (found.subgraphIndex for found in content.signatureDefs if found.signatureKey.decode() == endpoint)
    order = sorted(range(len(content.subgraphs)), key=lambda index: index != place)
    content.subgraphs = [content.subgraphs[index] for index in order]
    for found in content.signatureDefs:
        found.subgraphIndex = order.index(found.subgraphIndex)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))
