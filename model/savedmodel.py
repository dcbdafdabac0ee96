"""The SavedModel engine: TensorFlow runs the `serving_default` signature of saved_model/. The only room with
TensorFlow outside training/."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from model.checks import check_images, check_model
from model.engine import Activations, Images, Scores, Signature
from model.manifest import ArtifactError

SERVING = "serving_default"
EXPLAINING = "explain"


class SavedModelEngine:
    """Scores with TensorFlow, which runs calls from several threads side by side.

    `threads`: CPU threads of one call. Raises ArtifactError when the folder is no model or not the signature's.
    """

    def __init__(self, path: Path, signature: Signature, threads: int = 1) -> None:
        import tensorflow as tf

        with suppress(RuntimeError):  # one setting for the whole process: refused once TensorFlow has run anything
            tf.config.threading.set_intra_op_parallelism_threads(threads)
        try:
            self._loaded = tf.saved_model.load(str(path))
            score = self._loaded.signatures[SERVING]
        except KeyError:
            raise ArtifactError(f"{path} has no signature named {SERVING}") from None
        except (OSError, ValueError, tf.errors.OpError) as exc:
            raise ArtifactError(f"{path} is not a SavedModel that TensorFlow can load: {exc}") from exc
        inputs, outputs = score.structured_input_signature[1], score.structured_outputs
        check_model(
            path,
            signature,
            [(spec.shape.as_list(), spec.dtype.name) for spec in inputs.values()],
            [(spec.shape.as_list(), spec.dtype.name) for spec in outputs.values()],
        )
        (self._input,), (self._output,) = inputs, outputs
        self._score, self._constant = score, tf.constant
        self._explain = self._loaded.signatures.get(EXPLAINING)
        self._signature = signature
        self._closed = False

    @property
    def signature(self) -> Signature:
        return self._signature

    def score(self, images: Images, /) -> Scores:
        check_images(images, self._signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        scores: Scores = self._score(**{self._input: self._constant(images)})[self._output].numpy()
        return scores

    def activations(self, images: Images, /) -> Activations | None:
        check_images(images, self._signature)
        if self._closed:
            raise RuntimeError("the engine is closed")
        if self._explain is None:
            return None
        activations: Activations = self._explain(images=self._constant(images))["activations"].numpy()
        return activations

    def close(self) -> None:
        self._closed = True
