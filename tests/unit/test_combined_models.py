"""Combined models: the mean of several models' scores, and cascades, with real artifacts and engines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from functions import bootstrap
from functions.messages.contract import Envelope, Request, Response
from functions.messages.request_decoder import decode
from functions.settings import Settings
from model.__main__ import main
from model.artifact.composition import CASCADE, MEAN, Composition, read_composition, write_combined
from model.artifact.load import Artifact, load_engine, read_artifact
from model.combination import Combination
from model.errors import ArtifactError
from model.predictor import Predictor
from tests.registry_models import seal, variant
from tests.samples import encoded

_ROOT = Path(__file__).resolve().parents[2]
IMAGES = [encoded(), *(path.read_bytes() for path in sorted((_ROOT / "client" / "samples").glob("s*.[gwa]*"))[:3])]
SHIPPED = _ROOT / "model" / "artifacts" / "fashion-mnist"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """The shipped model with its labels in another order: it gives the scores to other labels."""
    folder = tmp_path / "small"
    shutil.copytree(SHIPPED, folder, ignore=shutil.ignore_patterns("training"))
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in reversed(labels)))
    return seal(folder, "0.1.0", "small")


def scores(folder: Path, image: bytes) -> dict[str, float]:
    """What one artifact says, by label."""
    _, engine = load_engine(read_artifact(folder), "litert")
    found = engine.score(Predictor(engine).prepare(image))[0]
    return dict(zip(engine.signature.labels, found.tolist(), strict=True))


def combined(artifact: Artifact) -> Combination:
    members = [Predictor(load_engine(member, "litert")[1]) for member in artifact.members]
    return Combination(read_composition(artifact), members)


def by_label(artifact: Artifact, row: npt.NDArray[np.float32]) -> dict[str, float]:
    return dict(zip(artifact.signature.labels, row.tolist(), strict=True))


@pytest.mark.parametrize("image", range(len(IMAGES)))
def test_the_mean_is_of_each_label_whatever_its_place(small: Path, tmp_path: Path, image: int) -> None:
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    found = by_label(made, combined(made).score(IMAGES[image])[0])
    one, two = scores(small, IMAGES[image]), scores(SHIPPED, IMAGES[image])
    assert found == pytest.approx({label: (one[label] + two[label]) / 2 for label in one}, abs=1e-6)
    assert sum(found.values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("image", range(len(IMAGES)))
def test_a_cascade_asks_the_next_member_only_below_the_threshold(small: Path, tmp_path: Path, image: int) -> None:
    best = max(scores(small, IMAGES[image]).values())
    for threshold, expected in ((best - 1e-4, small), (min(best + 1e-4, 0.99999), SHIPPED)):
        out = tmp_path / f"made-{threshold}"
        made = write_combined(out, "cascade", "1.0.0", Composition(CASCADE, threshold), [small, SHIPPED])
        found = by_label(made, combined(made).score(IMAGES[image])[0])
        assert found == pytest.approx(scores(expected, IMAGES[image]))


def answer(artifact: Path, image: bytes, **attributes: str) -> Response:
    handler = bootstrap.build(Settings(project="p", artifact=str(artifact)))
    request = decode(Envelope("m1", image, {"request_id": "r1", **attributes}))
    assert isinstance(request, Request)
    return handler.pipeline.submit(request).result()


def test_a_worker_serves_it_under_one_digest(small: Path, tmp_path: Path) -> None:
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    response = answer(made.folder, IMAGES[0], top_k="10")
    assert response.model and (response.model.name, response.model.version) == ("both", "1.0.0")
    assert response.model.digest == made.digest and response.model.engine == "litert"
    one, two = scores(small, IMAGES[0]), scores(SHIPPED, IMAGES[0])
    for each in response.predictions:
        assert each.score == pytest.approx((one[each.label] + two[each.label]) / 2, abs=1e-4)
    bad = answer(made.folder, b"no image")
    assert bad.error and bad.error.code == "invalid_image"
    for option in ("explain", "features"):
        refused = answer(made.folder, IMAGES[0], **{option: "true"})
        assert refused.error and refused.error.code == "invalid_request"
        assert refused.error.message.startswith(f"{option} is true; the model 'both' combines several models")


def _other_label(folder: Path) -> None:
    labels = (folder / "labels.txt").read_text().splitlines()
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in ["cat", *labels[1:]]))


def _multi_label(folder: Path) -> None:
    signature = json.loads((folder / "signature.json").read_text())
    signature |= {"outputs": "multilabel-probabilities", "multi_label": True, "threshold": 0.5}
    (folder / "signature.json").write_text(json.dumps(signature))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_other_label, "do not have the same labels: only one of them has 'T-shirt/top', 'cat'"),
        (_multi_label, "or neither"),
    ],
)
def test_members_that_do_not_agree_are_refused(
    small: Path, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    (small / "golden.json").unlink()
    body = json.loads((small / "manifest.json").read_text())
    del body["golden"]
    (small / "manifest.json").write_text(json.dumps(body))
    labels = (SHIPPED / "labels.txt").read_text()
    (small / "labels.txt").write_text(labels)
    spoil(small)
    seal(small, "0.1.0", "small")
    with pytest.raises(ArtifactError, match=says):
        write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [SHIPPED, small])
    assert not (tmp_path / "made").exists()


def test_a_combined_model_is_no_member_and_one_model_is_none(small: Path, tmp_path: Path) -> None:
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    with pytest.raises(ArtifactError, match="is a combined model itself; combine its members instead"):
        write_combined(tmp_path / "more", "more", "1.0.0", Composition(MEAN), [made.folder, SHIPPED])
    with pytest.raises(ArtifactError, match="a combined model has 2 to 8 members; this one has 1"):
        write_combined(tmp_path / "more", "more", "1.0.0", Composition(MEAN), [SHIPPED])
    with pytest.raises(ArtifactError, match="which only a worker scores"):
        load_engine(made)


@pytest.mark.parametrize(
    ("path", "old", "new", "says"),
    [
        ("composition.json", '"mean"', '"median"', "must be mean or cascade"),
        ("composition.json", '"mean"', '"cascade"', "threshold is None; it must be a number above 0 and below 1"),
        (
            "composition.json",
            '"kind"',
            '"weights"',
            "must be an object with schema_version 1, kind, members, threshold",
        ),
        ("composition.json", '"small"', '"large"', "its members are not those in the folder members/"),
        ("composition.json", '"0.1.0"', '"0.2.0"', "its members are not those in the folder members/"),
        ("labels.txt", "Ankle boot\nBag", "Bag\nAnkle boot", "labels.txt differs from that of the first member"),
        ("members/1/labels.txt", "Bag", "Cat", "altered"),
    ],
)
def test_a_changed_composition_is_refused(
    small: Path, tmp_path: Path, path: str, old: str, new: str, says: str
) -> None:
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    file = made.folder / path
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(ArtifactError, match="altered"):
        answer(made.folder, IMAGES[0])
    seal(made.folder, "1.0.0", "both")
    with pytest.raises(ArtifactError, match=says):
        answer(made.folder, IMAGES[0])


def test_a_member_that_the_manifest_does_not_list_is_not_served(small: Path, tmp_path: Path) -> None:
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    shutil.copytree(SHIPPED, made.folder / "members" / "3")
    assert len(read_artifact(made.folder).members) == 2
    body = json.loads((made.folder / "manifest.json").read_text())
    body["files"] = {path.replace("members/2", "members/3"): file for path, file in body["files"].items()}
    (made.folder / "manifest.json").write_text(json.dumps(body))
    seal(made.folder, "1.0.0", "both")
    with pytest.raises(ArtifactError, match="not numbered from 1"):
        read_artifact(made.folder)


def test_only_verified_files_of_the_members_are_copied(small: Path, tmp_path: Path) -> None:
    secret = tmp_path / "id_rsa"
    secret.write_text("secret")
    (small / "link").symlink_to(secret)
    (small / "notes.txt").write_text("mine")
    made = write_combined(tmp_path / "made", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])
    assert not list(made.folder.rglob("link")) and not list(made.folder.rglob("notes.txt"))
    (small / "MODEL_CARD.md").unlink()
    (small / "MODEL_CARD.md").symlink_to(secret)
    with pytest.raises(ArtifactError, match=r"MODEL_CARD\.md in .* is a link to a file outside of it"):
        write_combined(tmp_path / "more", "both", "1.0.0", Composition(MEAN), [small, SHIPPED])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = (str(variant(tmp_path / name, "1.0.0", name)) for name in ("one", "two"))
    out = str(tmp_path / "made")
    assert main(["combine", one, two, "--below", "0.8", "--name", "photos", "--out", out, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["kind"], said["threshold"], said["members"]) == (CASCADE, 0.8, ["one 1.0.0", "two 1.0.0"])
    assert said["engines"] == ["litert", "savedmodel"]
    assert main(["combine", one, two, "--name", "photos", "--out", out]) == 1
    assert f"{out} exists; choose another folder" in capsys.readouterr().err
    assert main(["combine", one, two, "--below", "1.5", "--name", "photos", "--out", f"{out}2"]) == 1
    assert "threshold is 1.5; it must be a number above 0 and below 1" in capsys.readouterr().err
    assert main(["combine", one, two, "--name", "photos", "--out", f"{out}2"]) == 0
    assert capsys.readouterr().out == f"{out}2 holds photos 1.0.0: the mean of one 1.0.0, two 1.0.0\n"
