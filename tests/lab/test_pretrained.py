"""The three pretrained ImageNet models: imported from their weights, and served by a real worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")

from infra.local import __main__ as twin_command
from infra.local import pretrained as local
from infra.local.child import ChildFailed
from infra.local.twin import Twin
from model.registry.registry import Registry
from model.training.errors import SourceError
from model.training.export import variants
from model.training.importing.pretrained import NAMES, import_pretrained
from tests.conftest import absent, require
from tests.fakes import UNMEASURED

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def weights(shared_data: Path) -> Path:
    folder = shared_data / "weights"
    if not folder.is_dir():
        absent(f"no weights at {folder}")
    require("onnxruntime")
    return folder


@pytest.fixture(scope="module")
def twin(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Twin]:
    """A twin that serves the three models, which were imported for it."""
    folder = tmp_path_factory.mktemp("pretrained")
    (folder / "models").mkdir()
    registry = Registry.at(str(folder / "models"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "measure_speeds", lambda targets, **_: [UNMEASURED for _ in targets])
        assert tuple(import_pretrained(weights, registry)) == NAMES
    assert list(import_pretrained(folder / "gone", registry)) == [], "all are there, and no file is read"
    local.import_all(folder / "gone", registry.address)
    served = folder / "models" / "efficientnet-lite0" / "1.0.0" / "model.onnx"
    assert served.read_bytes() == (weights / "efficientnet-lite0.onnx").read_bytes()
    with Twin(log_path=folder / "log", registry=registry.address, models=local.MODELS) as twin:
        yield twin


def answers(twin: Twin, photos: list[Path], **options: str) -> list[dict[str, Any]]:
    def answer(photo: Path) -> dict[str, Any]:
        sent = requests.post(f"{twin.worker_url}/predict", photo.read_bytes(), params=options, timeout=60)
        response: dict[str, Any] = sent.json()
        return response

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(answer, photos))


def test_efficientnet_lite0_is_as_accurate_as_without_this_project(
    twin: Twin, shared_data: Path, weights: Path
) -> None:
    """ONNX Runtime alone: 171 of 201 photos, 85.07 %, and 191 in the best five, 95.02 %. One photo is 0.5 points."""
    samples = shared_data / "imagenet-samples"
    index = json.loads((samples / "imagenet_class_index.json").read_text())
    labels = (weights / "imagenet_labels.txt").read_text().splitlines()[1:]
    label = {synset: labels[int(number)] for number, (synset, _) in index.items()}
    photos = sorted(samples.glob("*.JPEG"))
    found = answers(twin, photos, model="efficientnet-lite0", top_k="5")
    best = [[each["label"] for each in response["predictions"]] for response in found]
    wanted = [label[photo.name.split("_")[0]] for photo in photos]
    assert len(photos) == 201 and best[photos.index(samples / "n02111889_Samoyed.JPEG")][0] == "Samoyed, Samoyede"
    assert abs(sum(named[0] == right for named, right in zip(best, wanted, strict=True)) - 171) <= 1
    assert abs(sum(right in named for named, right in zip(best, wanted, strict=True)) - 191) <= 1


@pytest.mark.parametrize("model", NAMES)
def test_each_model_names_a_known_photo(model: str, twin: Twin, shared_data: Path) -> None:
    [photo] = (shared_data / "imagenet-samples").glob("*_goldfish.JPEG")
    [response] = answers(twin, [photo], model=model, top_k="3")
    assert (response["status"], response["model"]["name"], len(response["predictions"])) == ("ok", model, 3)
    assert response["predictions"][0]["label"] == "goldfish, Carassius auratus"
    [response] = answers(twin, [photo], model=model, features="true")
    if model == "efficientnet-lite0":
        said = "features is true; the model 'efficientnet-lite0' has none with the engine onnx."
        assert response["error"]["code"] == "invalid_request" and response["error"]["message"].startswith(said)
    else:
        assert response["features"]


def test_a_missing_file_is_named_before_anything_is_imported(
    tmp_path: Path, weights: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in weights.iterdir():
        if path.suffix != ".npz":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "models").mkdir()
    missing = f"{tmp_path} has no file mobilenet_v1_0.75_224_keras_fp32.npz; the models need "
    with pytest.raises(SourceError, match=missing):
        next(import_pretrained(tmp_path, Registry.at(str(tmp_path / "models"))))
    with pytest.raises(ChildFailed, match="not imported; the line above says why"):
        local.import_all(tmp_path, str(tmp_path / "models"))
    assert missing in capfd.readouterr().err and not list((tmp_path / "models").iterdir())


def test_the_twin_takes_the_folder_and_nothing_that_contradicts_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit):
        twin_command.main(["up", "--pretrained", str(tmp_path / "gone")])
    assert f"it is '{tmp_path / 'gone'}'; it must be a folder" in capsys.readouterr().err
    monkeypatch.setenv("PRETRAINED", str(tmp_path))
    assert twin_command.main(["up", "--models", "clothing", "--registry", str(tmp_path)]) == 2
    assert "--pretrained is given with --registry or --models" in capsys.readouterr().err
