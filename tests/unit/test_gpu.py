"""Which device scores: said by the engines, and refused where a GPU was asked for and none is used."""

from __future__ import annotations

import ctypes
import json
import logging
import shutil
import types
from pathlib import Path
from typing import Any

import pytest

from functions.settings import DEVICES as SETTING
from functions.settings import Settings, SettingsError
from model.artifact import load
from model.artifact.load import DEVICES, GPU, ArtifactError, choose_engine, gpu_engines, load_engine, read_artifact
from model.engines import gpu, onnx


class Driver:
    """NVIDIA's driver as a machine with a GPU has it, or with the error `code` of cuInit."""

    def __init__(self, code: int = 0) -> None:
        self.code = code

    def cuInit(self, flags: int) -> int:
        return self.code

    def cuDeviceGetName(self, name: Any, size: int, device: int) -> int:
        name.value = b"NVIDIA L4"
        return 0


@pytest.fixture
def shipped(root: Path) -> load.Artifact:
    return read_artifact(root / "model" / "artifacts" / "fashion-mnist")


def with_driver(monkeypatch: pytest.MonkeyPatch, driver: Driver | None) -> None:
    def opened(name: str) -> Driver:
        assert name == "libcuda.so.1"
        if driver is None:
            raise OSError(f"{name}: cannot open shared object file: No such file or directory")
        return driver

    monkeypatch.setattr(ctypes, "CDLL", opened)


def test_the_gpu_has_the_name_that_its_driver_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver())
    assert gpu.gpu_name() == "NVIDIA L4"
    with_driver(monkeypatch, Driver(code=100))
    assert gpu.gpu_name() == "GPU"
    with_driver(monkeypatch, None)
    assert gpu.gpu_name() == "GPU"


@pytest.mark.parametrize(
    ("driver", "reason"),
    [
        (None, "driver cannot be loaded: libcuda.so.1: cannot open"),
        (Driver(code=100), "finds no GPU (CUDA error 100)"),
        (Driver(), "the libraries of CUDA or cuDNN are missing or do not fit it"),
    ],
)
def test_the_reason_why_no_gpu_is_used(driver: Driver | None, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, driver)
    assert reason in gpu.why_unused()


def test_the_worker_allows_the_devices_of_the_artifact() -> None:
    assert SETTING == DEVICES
    assert Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", "DEVICE": "gpu"}).device == GPU
    with pytest.raises(SettingsError, match="DEVICE is 'cuda'; it must be auto, or gpu"):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", "DEVICE": "cuda"})


def test_litert_scores_on_the_cpu_and_is_no_engine_for_a_gpu(shipped: load.Artifact) -> None:
    _, engine = load_engine(shipped, "litert")
    assert engine.device == "CPU"
    engine.close()
    assert gpu_engines(shipped) == ("savedmodel",)
    with pytest.raises(ArtifactError, match="DEVICE is gpu, and the engine litert of fashion-mnist uses no GPU"):
        load_engine(shipped, "litert", device=GPU)


def test_a_gpu_leaves_out_engines_that_cannot_use_it(shipped: load.Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "_installed", lambda name: True)
    assert choose_engine(shipped) == "litert"
    assert choose_engine(shipped, device=GPU) == "savedmodel"
    monkeypatch.setattr(load, "_installed", lambda name: name == "litert")
    with pytest.raises(ArtifactError, match="no engine of fashion-mnist can run here: install tensorflow"):
        choose_engine(shipped, device=GPU)


def test_an_artifact_of_litert_alone_is_refused(root: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(root / "model" / "artifacts" / "fashion-mnist", tmp_path / "made")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["engines"] = [each for each in manifest["engines"] if each["name"] == "litert"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="uses no GPU: import the model with --engines onnx or savedmodel"):
        load_engine(read_artifact(folder), device=GPU)


def test_an_engine_that_found_no_gpu_is_refused_and_closed(
    shipped: load.Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[bool] = []
    engine = types.SimpleNamespace(device="CPU", close=lambda: closed.append(True))
    monkeypatch.setattr(load, "open_engine", lambda *_: engine)
    monkeypatch.setattr(load, "_installed", lambda name: True)
    with_driver(monkeypatch, None)
    with pytest.raises(
        ArtifactError, match="the engine savedmodel scores on the CPU: NVIDIA's driver cannot be loaded"
    ):
        load_engine(shipped, device=GPU)
    assert closed == [True]


def test_an_engine_with_a_gpu_is_served(shipped: load.Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = types.SimpleNamespace(device="NVIDIA L4")
    monkeypatch.setattr(load, "open_engine", lambda *_: engine)
    monkeypatch.setattr(load, "_installed", lambda name: True)
    monkeypatch.setattr("model.artifact.golden.check_golden", lambda *_: None)
    assert load_engine(shipped, device=GPU) == ("savedmodel", engine)


class Session:
    """What ONNX Runtime says of a session."""

    def __init__(self, *providers: str) -> None:
        self._providers = providers

    def get_providers(self) -> list[str]:
        return list(self._providers)


def test_the_device_is_what_the_session_uses_not_what_it_was_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    with_driver(monkeypatch, Driver())
    assert onnx.device_of(Session("CUDAExecutionProvider", "CPUExecutionProvider")) == "NVIDIA L4"
    assert onnx.device_of(Session("CPUExecutionProvider")) == "CPU"


def test_the_worker_logs_the_device(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from functions import bootstrap

    monkeypatch.setattr(
        bootstrap, "settings", lambda: Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", "ENGINE": "litert"})
    )
    with caplog.at_level(logging.INFO, "functions.bootstrap"):
        bootstrap._handler.__wrapped__(None, None)
    [loaded] = [each for each in caplog.records if each.message == "model loaded"]
    assert loaded.__dict__["device"] == "CPU"
