"""The SavedModel engine: TensorFlow runs the `serving_default` signature after savedmodel_check.py has checked it.

Outside model/training/ only these two modules import TensorFlow.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from model.engines.base import MAX_FEATURES, Activations, Features, Images, Scores, Signature
from model.engines.gpu import CPU, gpu_name
from model.engines.outputs import as_scores
from model.engines.savedmodel_check import check_saved_model
from model.engines.signature_checks import check_images, check_model
from model.errors import ArtifactError

SERVING = "serving_default"
EXPLAINING = "explain"

# Operations after the last layer: they turn its numbers into scores, add its offsets, or only reorder or convert them.
_PASSING = "Identity", "Softmax", "Sigmoid", "LogSoftmax", "BiasAdd", "Reshape", "Squeeze", "Cast"


class SavedModelEngine:
    """Scores with TensorFlow, on a GPU where it finds one. It runs calls from several threads in parallel.

    `threads`: CPU threads of one call. Raises ArtifactError when the folder is not a SavedModel, does not match
    `signature`, or holds an operation that is not on the allow-list.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        import tensorflow as tf

        check_saved_model(path)
        with suppress(RuntimeError):  # TensorFlow refuses this process-wide setting after its first operation
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        # Numbers of full precision: the same labels as on a CPU.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            with suppress(RuntimeError):  # as above; without it, the first of several processes takes all memory
                tf.config.experimental.set_memory_growth(gpu, True)
        self.device = gpu_name() if gpus else CPU
        try:
            self._loaded = tf.saved_model.load(str(path))
            signatures = self._loaded.signatures
        except Exception as exc:  # TensorFlow raises many kinds of exceptions for a damaged graph, even KeyError
            reason = str(exc).strip().partition("\n")[0] or type(exc).__name__
            raise ArtifactError(f"{path} is not a SavedModel that TensorFlow can load: {reason}") from exc
        if SERVING not in signatures:
            raise ArtifactError(f"{path} has no signature named {SERVING}")
        score = signatures[SERVING]
        inputs, outputs = score.structured_input_signature[1], score.structured_outputs
        check_model(
            path,
            signature,
            [(spec.shape.as_list(), spec.dtype.name) for spec in inputs.values()],
            [(spec.shape.as_list(), spec.dtype.name) for spec in outputs.values()],
        )
        (self._input,), (self._output,) = inputs, outputs
        self._score, self._constant = score, tf.constant
        self._explain = signatures.get(EXPLAINING)
        self._freezing, self._frozen = Lock(), False
        self._features: Any = None
        self.signature = signature
        self._closed = False

    def score(self, images: Images, /) -> Scores:
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        return as_scores(
            self.signature.outputs, self._score(**{self._input: self._constant(images)})[self._output].numpy()
        )

    def activations(self, images: Images, /) -> Activations | None:
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        if self._explain is None:
            return None
        activations: Activations = self._explain(images=self._constant(images))["activations"].numpy()
        return activations

    def features(self, images: Images, /) -> Features | None:
        """Compute features with a second graph, which is made at the first call."""
        check_images(images, self.signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        with self._freezing:
            if not self._frozen:
                self._features, self._frozen = _features_of(self._score), True
        if self._features is None:
            return None
        features: Features = self._features(self._constant(images)).numpy()
        return features.reshape(len(images), -1)

    def close(self) -> None:
        self._closed = True


def _features_of(score: Any) -> Any:
    """The function from images to what the last layer of `score` takes: a dense layer, or a convolution of one pixel.

    None without such a layer, or with more than MAX_FEATURES numbers.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    graph = convert_variables_to_constants_v2(score)  # functions are inlined, too
    made = graph.outputs[0]
    while made.op.type in _PASSING or (made.op.type == "AddV2" and made.op.inputs[1].shape.rank == 1):
        made = made.op.inputs[0]
    if made.op.type not in ("MatMul", "Conv2D"):
        return None
    given = made.op.inputs[0]
    one_pixel = made.op.type == "MatMul" or given.shape[1:3].as_list() == [1, 1]
    if not one_pixel or given.op.type == "Placeholder" or not 1 <= (given.shape[-1] or 0) <= MAX_FEATURES:
        return None
    return graph.prune(graph.inputs[0], given)
