"""A model to import may be in a bucket: what is needed of it is copied, within limits, and errors name the address."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from google.cloud.storage import Bucket

from infra.local.storage.server import StorageServer
from model.training.errors import SourceError
from model.training.importing.bucket_files import downloaded
from tests.storage_bucket import new_bucket

FILES = {
    "config.json": b"{}",
    "model.safetensors": b"weights" * 99,
    "onnx/model.onnx": b"network",
    "onnx/model.onnx_data": b"numbers",
    "onnx/model_int8.onnx": b"small network",
}


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with StorageServer() as server, new_bucket(server, "hub") as bucket:
        for name, content in FILES.items():
            bucket.blob(f"models/vit/{name}").upload_from_string(content)
        bucket.blob("models/vit-large/config.json").upload_from_string(b"[]")
        bucket.blob("models/vit-large/model.safetensors").upload_from_string(b"weights")
        bucket.blob("models/vit-large/pytorch_model.bin").upload_from_string(b"the same weights")
        yield bucket


def found(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_copied_without_weights_that_are_not_read(bucket: Bucket) -> None:
    with downloaded("gs://hub/models/vit", None, 1_000) as folder:
        assert folder.name == "vit" and found(folder) == {**FILES, "model.safetensors": b""}
    assert not folder.exists()


def test_weights_are_copied_where_there_is_no_network(bucket: Bucket) -> None:
    with downloaded("gs://hub/models/vit-large", None, 9) as folder:
        content = {"config.json": b"[]", "model.safetensors": b"weights", "pytorch_model.bin": b""}
        assert found(folder) == content


def test_of_several_networks_only_the_chosen_one_is_copied(bucket: Bucket) -> None:
    with downloaded("gs://hub/models/vit/", "onnx/model.onnx", 20) as folder:
        assert found(folder) == {**FILES, "model.safetensors": b"", "onnx/model_int8.onnx": b""}
    with downloaded("gs://hub/models/vit", "onnx/model_int8.onnx", 20) as folder:
        assert [name for name, content in found(folder).items() if content] == ["config.json", "onnx/model_int8.onnx"]


def test_a_file_is_copied_alone(bucket: Bucket) -> None:
    with downloaded("gs://hub/models/vit/onnx/model.onnx", None, 7) as file:
        assert file.name == "model.onnx" and file.read_bytes() == b"network"


@pytest.mark.parametrize(
    ("address", "most", "words"),
    [
        ("gs://hub", 99, "the source is 'gs://hub'; it must look like gs://bucket/folder"),
        ("gs://hub/models/v", 99, "gs://hub/models/v does not exist; it must be a file or a folder in the bucket"),
        ("gs://nowhere/a", 99, "gs://nowhere/a cannot be read: the bucket nowhere or an object in it does not exist"),
        (
            "gs://hub/models/vit",
            28,
            "gs://hub/models/vit holds 29 B; at most 28 B are downloaded: choose one with --file",
        ),
    ],
)
def test_what_cannot_be_copied_is_named(address: str, most: int, words: str, bucket: Bucket) -> None:
    with pytest.raises(SourceError, match=words), downloaded(address, None, most):
        pass


def test_names_that_lead_out_of_the_folder_are_refused(bucket: Bucket) -> None:
    bucket.blob("out/../../etc/passwd").upload_from_string(b"")
    with (
        pytest.raises(SourceError, match=r"gs://hub/out holds .*, a name that leads out"),
        downloaded("gs://hub/out", None, 9),
    ):
        pass


def test_messages_about_the_copy_name_the_address(bucket: Bucket) -> None:
    words = r"^gs://hub/models/vit/config\.json is wrong$"
    with pytest.raises(SourceError, match=words), downloaded("gs://hub/models/vit", None, 999) as folder:
        raise SourceError(f"{folder / 'config.json'} is wrong")
