"""Zip archives with a model and its labels, as Teachable Machine exports them."""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="no TensorFlow: pip install -r model/requirements.txt")
from model.__main__ import main  # noqa: E402
from model.artifact.load import load_engine  # noqa: E402
from model.training.errors import SourceError  # noqa: E402
from model.training.importing.import_model import ImportOptions, import_model  # noqa: E402
from tests.keras2_files import saved  # noqa: E402
from tests.lab.test_keras2 import noise, sequential  # noqa: E402
from tests.networks import as_lite, as_saved_model  # noqa: E402

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file"),
    pytest.mark.usefixtures("unmeasured"),
]

LABELS = b"0 Class 1\n1 Class 2\n2 Class 3\n"


@pytest.fixture(scope="module")
def machine() -> Any:
    """A network in the form of Teachable Machine, which does not scale its pixels."""
    made = sequential()
    rescaling = made.layers[0].layers[0].layers[1]
    rescaling.scale = 1.0
    return made


@pytest.fixture(scope="module")
def files(machine: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The network in the files that the archives hold, by the archive's name."""
    folder = tmp_path_factory.mktemp("machine")
    return {
        "converted_keras": saved(machine, folder / "keras_model.h5"),
        "converted_tflite": as_lite(folder, machine).rename(folder / "model_unquant.tflite"),
        "converted_savedmodel": as_saved_model(folder, machine).rename(folder / "model.savedmodel"),
    }


def packed(path: Path, contents: dict[str, Path | bytes]) -> Path:
    """An archive of files, and of folders with what is in them."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            if isinstance(content, bytes):
                archive.writestr(name, content)
            elif content.is_file():
                archive.write(content, name)
            else:
                for file in content.rglob("*"):
                    archive.write(file, f"{name}/{file.relative_to(content)}")
    return path


@pytest.mark.parametrize("name", ["converted_keras", "converted_tflite", "converted_savedmodel"])
def test_an_archive_of_teachable_machine_is_imported(
    name: str, files: dict[str, Path], machine: Any, tmp_path: Path
) -> None:
    path = packed(tmp_path / f"{name}.zip", {files[name].name: files[name], "labels.txt": LABELS})
    with pytest.raises(SourceError, match=rf"{name}\.zip/.* does not say how its pixels were scaled .* --pixels"):
        import_model(ImportOptions(str(path)), tmp_path / "out")
    artifact = import_model(ImportOptions(str(path), pixels="tf"), tmp_path / "out")
    assert artifact.name == name.replace("_", "-")
    assert artifact.signature.labels == ("Class 1", "Class 2", "Class 3")
    assert f"Imported from `{name}.zip` by" in (artifact.folder / "MODEL_CARD.md").read_text()
    images = noise() / 127.5 - 1
    expected = machine(images, training=False)
    for engine_name in artifact.engines:
        _, engine = load_engine(artifact, engine_name)
        np.testing.assert_allclose(engine.score(images), expected, atol=1e-5)
        engine.close()


def link(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name)
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    return entry


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            [("a.tflite", b""), (link("labels.txt"), b"/etc/passwd")],
            r"a\.zip holds 'labels\.txt', a symbolic link; pack the file itself",
        ),
        ([(link("model.tflite"), b"../b.tflite")], r"a\.zip holds 'model\.tflite', a symbolic link"),
        ([("model.tflite", b""), ("labels.txt", LABELS), ("./labels.txt", b"")], r"a\.zip holds 2 files of labels"),
        ([("d/model.onnx", b""), ("d/w", b"1"), ("d/./w", b"2")], r"a\.zip holds 'd/w' more than once; which of them"),
        ([("m.onnx", b""), ("m.onnx/w", b"1")], r"a\.zip cannot be unpacked: .*File exists: '[^']*/a\.zip/m\.onnx'"),
    ],
)
def test_an_archive_s_files_are_certain(more: Any, words: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, content in more:
            archive.writestr(name, content)
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(tmp_path / "a.zip")), tmp_path / "out")


def test_names_in_an_archive_do_not_control_the_terminal(
    files: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = packed(tmp_path / "a.zip", {"./m\x1b[31m.tflite": files["converted_tflite"], "labels.txt": LABELS})
    assert import_model(ImportOptions(str(path), pixels="tf"), tmp_path / "out").engines == ("litert",)
    said = capsys.readouterr().err
    assert "m\\x1b[31m.tflite: scoring 16 images" in said and "\x1b" not in said
    assert "labels.txt: the numbers 0 to 2 at the lines' beginnings are not part of the labels" in said


def test_the_labels_of_the_user_come_before_those_of_the_archive(files: dict[str, Path], tmp_path: Path) -> None:
    path = packed(tmp_path / "a.zip", {"model.tflite": files["converted_tflite"], "labels.txt": LABELS})
    (tmp_path / "own.csv").write_text("index,label\n0,x\n1,y\n2,z\n")
    order = ImportOptions(str(path), pixels="tf", labels=tmp_path / "own.csv")
    assert import_model(order, tmp_path / "out").signature.labels == ("x", "y", "z")


def test_an_archive_is_imported_on_the_command_line(
    files: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    packed(Path("a.zip"), {"folder/model.tflite": files["converted_tflite"], "__MACOSX/._model.tflite": b"x"})
    Path("labels.txt").write_bytes(LABELS)
    assert main(["import", "a.zip", "--pixels", "tf", "--labels", "labels.txt"]) == 0
    assert "build/artifacts/a: sha256:" in capsys.readouterr().out


BAD: dict[str, tuple[dict[str, bytes], str]] = {
    "no model": ({"photo.jpg": b"x"}, "holds no model; an archive must hold one .keras"),
    "two models": ({"a.tflite": b"x", "b.h5": b"x"}, r"holds 2 models \(a\.tflite, b\.h5\); an archive must hold one"),
    "two files of labels": (
        {"a.tflite": b"x", "labels.txt": b"a", "more/labels.csv": b"a"},
        r"holds 2 files of labels \(labels\.txt, more/labels\.csv\); name one with --labels",
    ),
    "a name that leads out": ({"../../a.tflite": b"x"}, r"holds '\.\./\.\./a\.tflite', a name that leads out of the"),
    "an absolute name": ({"/tmp/a.tflite": b"x"}, "a name that leads out of the archive"),
    "a SavedModel at the top": ({"saved_model.pb": b"x"}, "holds a SavedModel without a folder of its own; unpack it"),
    "a bomb": ({"a.tflite": bytes(70_000_000)}, "unpacks to 70,000,000 bytes"),
    "a damaged model": ({"a.tflite": b"x"}, r"a\.zip/a\.tflite is not a model that LiteRT can load"),
}


@pytest.mark.parametrize("name", BAD)
def test_other_archives_are_refused(name: str, tmp_path: Path) -> None:
    contents, words = BAD[name]
    path = packed(tmp_path / "a.zip", dict(contents))
    with pytest.raises(SourceError, match=words):
        import_model(ImportOptions(str(path), pixels="tf"), tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == [path]
