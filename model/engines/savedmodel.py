"""The SavedModel engine: TensorFlow runs the `serving_default` signature after savedmodel_check.py has checked it.

Outside model/training/ only these two modules import TensorFlow.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from model.engines.base import Activations, Images, Scores, Signature
from model.engines.outputs import as_scores
from model.engines.savedmodel_check import check_saved_model
from model.engines.signature_checks import check_images, check_model
from model.errors import ArtifactError

SERVING = "serving_default"
EXPLAINING = "explain"


class SavedModelEngine:
    """Scores with TensorFlow, which runs calls from several threads in parallel.

    `threads`: CPU threads of one call. Raises ArtifactError when the folder is not a SavedModel, does not match
    `signature`, or holds an operation that is not on the allow-list.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        import tensorflow as tf

        check_saved_model(path)
        with suppress(RuntimeError):  # TensorFlow refuses this process-wide setting after its first operation
            tf.config.threading.set_intra_op_parallelism_threads(threads)
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

    def close(self) -> None:
        self._closed = True
