"""The engines of TensorFlow's models keep the promises of an Engine, compared with TensorFlow itself.

test_onnx_engine.py has those of the ONNX engine.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from model.artifact.load import ENGINES, GPU, Artifact, ArtifactError, load_engine, read_artifact
from model.engines.base import Engine, Images, Scores
from model.engines.litert import LiteRTEngine
from model.training.data import idx
from model.training.export.selection import MIN_AGREEMENT
from model.training.export.source import TENSORFLOW
from model.training.fashion_mnist.inputs import as_inputs
from tests.conftest import absent


def need(engine: str) -> None:
    if importlib.util.find_spec(ENGINES[engine].module) is None:
        absent(f"no {engine} engine: pip install {ENGINES[engine].requirement}")


@pytest.fixture(scope="module")
def artifact(root: Path) -> Artifact:
    return read_artifact(root / "model" / "artifacts" / "fashion-mnist")


@pytest.fixture(scope="module", params=TENSORFLOW)
def engine(request: pytest.FixtureRequest, artifact: Artifact) -> Iterator[Engine]:
    need(request.param)
    name, engine = load_engine(artifact, request.param)
    assert name == request.param
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def images(artifact: Artifact, shared_data: Path) -> Images:
    """All test images of the dataset, as the network takes them."""
    return as_inputs(idx.load("test", shared_data / "fashion-mnist").images, artifact.signature)


@pytest.fixture(scope="module")
def oracle(artifact: Artifact, images: Images) -> Scores:
    """Scores of TensorFlow itself."""
    need("savedmodel")
    import tensorflow as tf

    model = tf.saved_model.load(str(artifact.folder / "saved_model"))
    parts = [model.score(tf.constant(images[start : start + 250])).numpy() for start in range(0, len(images), 250)]
    return np.concatenate(parts)


def test_every_test_image_scores_as_in_tensorflow(engine: Engine, images: Images, oracle: Scores) -> None:
    scores = engine.score(images)
    assert scores.shape == (10_000, 10)
    assert scores.dtype == np.float32
    compressed = isinstance(engine, LiteRTEngine)  # what export held its forms to: gate.py
    assert (scores.argmax(axis=1) != oracle.argmax(axis=1)).mean() <= (1 - MIN_AGREEMENT if compressed else 0.001)
    assert np.quantile(np.abs(scores - oracle), 0.999) <= (0.1 if compressed else 1e-3)
    assert len(set(oracle.argmax(axis=1))) == 10  # an oracle that always says the same would prove nothing


@pytest.mark.parametrize("count", [1, 2, 3, 31, 32, 33, 64, 100])
def test_any_batch_size_gives_each_image_its_own_row(engine: Engine, images: Images, count: int) -> None:
    together = engine.score(images[:count])
    one_by_one = np.concatenate([engine.score(images[row : row + 1]) for row in range(count)])
    assert together.shape == (count, 10)
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)


def test_concurrent_threads_get_their_own_rows(engine: Engine, images: Images) -> None:
    expected = engine.score(images[:800])

    def work(thread: int) -> bool:
        own = range(thread * 100, thread * 100 + 100)
        sizes = [1, 3, 7, 40, 49]
        random = np.random.default_rng(thread)
        for _ in range(10):
            random.shuffle(sizes)
            start = own.start
            for size in sizes:
                scores = engine.score(images[start : start + size])
                np.testing.assert_allclose(scores, expected[start : start + size], atol=1e-5)
                start += size
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def test_images_are_left_as_they_were_and_need_not_be_contiguous(engine: Engine, images: Images) -> None:
    strided = images[0:10:2]
    before = strided.copy()
    np.testing.assert_allclose(engine.score(strided), engine.score(before), atol=1e-6)
    assert np.array_equal(strided, before)


def test_scores_are_kept_when_the_engine_is_used_again(engine: Engine, images: Images) -> None:
    first = engine.score(images[:2])
    kept = first.copy()
    engine.score(images[2:4])
    assert np.array_equal(first, kept)


def test_activations_belong_to_their_images_and_leave_scores_alone(engine: Engine, images: Images) -> None:
    scores = engine.score(images[:8])
    together = engine.activations(images[:8])
    alone = [engine.activations(images[row : row + 1]) for row in range(8)]
    assert together is not None and together.dtype == np.float32
    for row, one in enumerate(alone):
        assert one is not None
        np.testing.assert_allclose(one[0], together[row], atol=1e-3)
    assert np.array_equal(engine.score(images[:8]), scores)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 28, 28, 1), np.float32),
        np.zeros((28, 28, 1), np.float32),
        np.zeros((1, 28, 29, 1), np.float32),
        np.zeros((1, 28, 28, 3), np.float32),
        np.zeros((1, 28, 28, 1), np.uint8),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_a_batch_that_does_not_match_the_signature_is_refused(engine: Engine, wrong: Images) -> None:
    with pytest.raises(ValueError, match=r"they must be float32 \[N, 28, 28, 1\] with at least one image"):
        engine.score(wrong)


def test_tensorflow_without_a_gpu_is_refused_where_one_was_asked_for(artifact: Artifact) -> None:
    need("savedmodel")
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    _, engine = load_engine(artifact, "savedmodel")
    assert (engine.device != "CPU") == has_gpu
    with (
        nullcontext()
        if has_gpu
        else pytest.raises(ArtifactError, match="the engine savedmodel scores on the CPU: NVIDIA's driver")
    ):
        load_engine(artifact, device=GPU)


@pytest.mark.parametrize("name", TENSORFLOW)
def test_a_closed_engine_refuses_to_score(artifact: Artifact, name: str) -> None:
    need(name)
    _, engine = load_engine(artifact, name, threads=2)
    engine.score(np.zeros((1, 28, 28, 1), np.float32))
    engine.close()
    engine.close()
    for asked in (engine.score, engine.activations):
        with pytest.raises(RuntimeError, match="closed"):
            asked(np.zeros((1, 28, 28, 1), np.float32))
