"""What others write into a registry, or call a model, is not trusted: names, aliases.json, contents."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.composition import CASCADE, MEAN, Composition, write_combined
from model.artifact.manifest import MANIFEST
from model.commands.contents_text import diff_text, show_text
from model.errors import ArtifactError, RegistryError
from model.registry.aliases import ALIASES, Alias, AliasFile, Target, encode_aliases, parse_aliases
from model.registry.contents import compare, read_contents
from model.registry.listing import list_versions
from model.registry.moves import delete_alias, roll_back, set_alias
from model.registry.names import parse_ref, version_order
from model.registry.registry import Registry
from tests.registry_models import NAME, seal, variant

HOSTILE = (
    "../x",
    "/etc/passwd",
    "a/b",
    "",
    ".",
    "..",
    "-x",
    "a\nb",
    "a\x00",
    "a\u202eb",
    "A",
    "é",
    "x" * 64,
    "1.0 ",
    "1٣",
)
DIGEST = "sha256:" + "0" * 64
TARGET = {"version": "1.0.0", "digest": DIGEST}


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    registry = Registry.at(str(tmp_path / "registry"))
    registry.push(variant(tmp_path / "artifact", "1.0.0"))
    return registry


def written(**fields: Any) -> bytes:
    return json.dumps({"schema_version": 1, "aliases": {"stable": TARGET | fields}}).encode()


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_refused(name: str, registry: Registry, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    calls: dict[str, list[Callable[[], object]]] = {
        "model": [
            lambda: registry.versions(name),
            lambda: registry.aliases(name),
            lambda: registry.version(name, "1.0.0"),
            lambda: set_alias(registry, name, "stable", "1.0.0"),
            lambda: list_versions(registry, name),
            lambda: parse_ref(name),
        ],
        "version": [
            lambda: registry.version(NAME, name),
            lambda: set_alias(registry, NAME, "stable", name),
            lambda: registry.push(tmp_path / "artifact", version=name or "/"),
            lambda: roll_back(registry, NAME, "stable", name or "/"),
        ],
        "alias": [
            lambda: set_alias(registry, NAME, name, "1.0.0"),
            lambda: roll_back(registry, NAME, name),
            lambda: delete_alias(registry, NAME, name),
            lambda: parse_ref(f"{NAME}@{name}") if not name[:1].isdigit() else set_alias(registry, NAME, name, "1"),
        ],
    }
    for kind, each in calls.items():
        for call in each:
            with pytest.raises(RegistryError, match=f"the {kind} is"):
                call()
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("name", ["../x", "a/b", "A b", "-x"])
def test_an_artifact_with_a_hostile_name_is_refused(name: str, registry: Registry, tmp_path: Path) -> None:
    seal(tmp_path / "artifact", "1.0.0", name)
    with pytest.raises(RegistryError, match="the model is"):
        registry.push(tmp_path / "artifact")
    seal(tmp_path / "artifact", name)
    with pytest.raises(RegistryError, match="the version is"):
        registry.push(tmp_path / "artifact")


@pytest.mark.parametrize("path", ["../../../outside", "/outside", "a\\b", "a\x00b", "a//b"])
def test_a_manifest_with_hostile_paths_is_refused(path: str, registry: Registry, tmp_path: Path) -> None:
    for manifest in (tmp_path / "artifact" / MANIFEST, tmp_path / "registry" / NAME / "1.0.0" / MANIFEST):
        body = json.loads(manifest.read_text())
        body["files"][path] = {"sha256": "0" * 64, "size": 1}
        manifest.write_text(json.dumps(body))
    with pytest.raises(ArtifactError, match="manifest"):
        registry.push(tmp_path / "artifact", version="2.0.0")
    with pytest.raises(RegistryError, match=r"registry/fashion-mnist/1\.0\.0: manifest"):
        registry.version(NAME, "1.0.0")
    assert registry.versions(NAME) == ["1.0.0"]


def test_folders_with_other_names_are_no_models(registry: Registry, tmp_path: Path) -> None:
    for folder in ("Other", "x y", f"{NAME}/comparisons", f"{NAME}/.hidden"):
        (tmp_path / "registry" / folder).mkdir(parents=True)
    assert registry.names() == [NAME] and registry.versions(NAME) == ["1.0.0"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"[]", "must be an object with schema_version 1 and aliases"),
        (b'{"schema_version": 2, "aliases": {}}', "must be an object with schema_version 1"),
        (b'{"schema_version": 1, "aliases": {}, "extra": 1}', "it has the field 'extra'; allowed are"),
        (b'{"schema_version": 1, "aliases": {}, "deleting": "1"}', "deleting is '1'; it must be a list"),
        (b'{"schema_version": 1, "aliases": {}, "deleting": ["../x"]}', r"the version is '\.\./x'"),
        (b'{"schema_version": 1, "aliases": {"../x": {}}}', r"the alias is '\.\./x'"),
        (b'{"schema_version": 1, "aliases": {"a": {}, "a": {}}}', "names 'a' more than once"),
        (b'{"schema_version": 1, "aliases": {"a": []}}', "an alias is"),
        (written(percentage=5), "it has the field 'percentage'"),
        (written(percent=101), "percent is '101'; it must be a number from 0 to 100"),
        (written(percent=-0.1), "percent is"),
        (written(percent="5"), "percent is '5'"),
        (written(percent=True), "percent is 'true'"),
        (written(percent=float("nan")), "percent is 'NaN'"),
        (written(percent=10**400), "percent is 'Infinity'"),
        (written(percent=-(10**400)), "percent is '-Infinity'"),
        (written(previous=[{"version": "1.0.0", "digest": DIGEST}] * 11), "previous has 11 versions; at most 10"),
        (written(shadow=1), "shadow is '1'; it must be true or false"),
        (written(version="../x"), r"the version is '\.\./x'"),
        (written(digest="0"), "the digest"),
        (written(previous=[1]), "previous is '1'"),
        (written(previous={}), "previous a list"),
        (written(changed_at=5), "changed_at must be a text"),
        (b"[" * 100_000, "nested too deeply"),
    ],
    ids=range(27),
)
def test_aliases_that_are_refused(content: bytes, message: str, registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "registry" / NAME / ALIASES
    file.write_bytes(content)
    with pytest.raises(RegistryError, match=message) as raised:
        registry.aliases(NAME)
    assert ALIASES in str(raised.value)
    with pytest.raises(RegistryError, match=message):
        set_alias(registry, NAME, "candidate", "1.0.0")
    assert file.read_bytes() == content, "what cannot be read is not overwritten"


def test_a_pipe_instead_of_the_aliases_keeps_nobody_waiting(registry: Registry, tmp_path: Path) -> None:
    file = tmp_path / "registry" / NAME / ALIASES
    file.unlink(missing_ok=True)
    os.mkfifo(file)
    with pytest.raises(RegistryError, match="it must be a file"):
        registry.aliases(NAME)


def test_a_manifest_with_too_many_files_is_refused(registry: Registry, tmp_path: Path) -> None:
    manifest = tmp_path / "registry" / NAME / "1.0.0" / MANIFEST
    body = json.loads(manifest.read_text())
    body["files"] |= {f"more/{number}": {"sha256": "0" * 64, "size": 0} for number in range(100_000 // 2)}
    manifest.write_text(json.dumps(body))
    with pytest.raises(RegistryError, match=r"lists 50,\d+ files; at most 1,000 are allowed"):
        registry.version(NAME, "1.0.0")


def test_percentages_over_100_are_refused() -> None:
    target = Target("1.0.0", DIGEST)
    fits = {name: Alias(target, percent=percent) for name, percent in (("a", 33.3), ("b", 33.3), ("c", 33.4))}
    assert parse_aliases(encode_aliases(AliasFile(fits)), ALIASES).aliases == fits
    with pytest.raises(RegistryError, match=r"a 33\.3 and b 33\.3 and c 33\.4 and d 0\.1, which sum to 100\.1"):
        encode_aliases(AliasFile(fits | {"d": Alias(target, percent=0.1)}))


TARGETS = st.builds(Target, st.from_regex(r"[0-9][0-9a-z.+_-]{0,20}", fullmatch=True), st.just(DIGEST))
ALIAS = st.builds(
    Alias,
    TARGETS,
    st.none() | st.floats(0, 10),
    st.booleans(),
    st.text(max_size=5),
    st.lists(TARGETS, max_size=3).map(tuple),
)


@given(
    st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True), ALIAS, max_size=5),
    st.frozensets(TARGETS.map(lambda target: target.version), max_size=3),
)
def test_aliases_are_read_as_they_were_written(aliases: dict[str, Alias], deleting: frozenset[str]) -> None:
    file = AliasFile(aliases, deleting)
    assert parse_aliases(encode_aliases(file), ALIASES) == file


FIELDS = st.sampled_from(["schema_version", "aliases", "a", "version", "percent"])
BODIES = st.recursive(
    st.none() | st.integers() | st.text(), lambda each: st.lists(each) | st.dictionaries(FIELDS, each)
)


@given(st.binary(max_size=60) | BODIES.map(lambda body: json.dumps(body).encode()))
def test_any_content_is_read_or_refused(content: bytes) -> None:
    try:
        parse_aliases(content, ALIASES)
    except RegistryError as exc:
        assert ALIASES in str(exc)


def test_versions_are_sorted_by_value() -> None:
    versions = ["1.10.0", "1.9.0", "2.0.0-rc1", "2.0.0", "20261129.1", "1.9"]
    ordered = ["1.9", "1.9.0", "1.10.0", "2.0.0-rc1", "2.0.0", "20261129.1"]
    assert sorted(versions, key=version_order) == ordered


def test_contents_are_verified(registry: Registry, tmp_path: Path) -> None:
    version = registry.version(NAME, "1.0.0")
    contents = read_contents(registry, version)
    assert (
        len(contents.labels) == 10 and list(contents.engines) == ["litert", "savedmodel"] and len(contents.golden) == 2
    )
    labels = tmp_path / "registry" / NAME / "1.0.0" / "labels.txt"
    labels.write_bytes(bytes(len(labels.read_bytes())))
    with pytest.raises(RegistryError, match=r"labels\.txt is altered: its sha256 is not the manifest's"):
        read_contents(registry, version)


def test_the_members_of_a_combined_model_are_shown(registry: Registry, tmp_path: Path) -> None:
    members = [tmp_path / "artifact", seal(variant(tmp_path / "other", "1.0.0"), "1.1.0")]
    found = []
    for version, composition in (("1.0.0", Composition(MEAN)), ("2.0.0", Composition(CASCADE, 0.8))):
        write_combined(tmp_path / version, "both", version, composition, members)
        found.append(read_contents(registry, registry.push(tmp_path / version)))
    mean, cascade = found
    assert "composition    mean: fashion-mnist 1.0.0, fashion-mnist 1.1.0" in show_text(mean, [])
    assert "cascade, threshold 0.8: fashion-mnist 1.0.0, fashion-mnist 1.1.0" in show_text(cascade, [])
    differences = compare(mean, cascade)
    assert differences["composition"]["kind"] == {"from": "mean", "to": "cascade"}
    assert "  to    cascade, threshold 0.8: " in diff_text(mean, cascade, differences)


@pytest.mark.parametrize(
    "content", [b"{}", b"[]", b'{"images": [1]}', b'{"images": [{"png": "", "scores": {"litert": [1]}}]}']
)
def test_golden_images_that_are_refused(content: bytes, tmp_path: Path) -> None:
    artifact = variant(tmp_path / "artifact", "1.0.0")
    (artifact / "golden.json").write_bytes(content)
    registry = Registry.at(str(tmp_path / "registry"))
    version = registry.push(seal(artifact, "1.0.0"))
    with pytest.raises(RegistryError, match=r"golden\.json must"):
        read_contents(registry, version)


@pytest.mark.parametrize("preprocessing", [5, {}, {"steps": 5}, {"steps": [{"op": "eval"}]}])
def test_a_recipe_that_was_written_by_hand_is_refused(
    preprocessing: object, registry: Registry, tmp_path: Path
) -> None:
    folder = tmp_path / "registry" / NAME / "1.0.0"
    body = json.loads((folder / "signature.json").read_text())
    (folder / "signature.json").write_text(json.dumps(body | {"preprocessing": preprocessing}))
    version = registry.version(NAME, seal(folder, "1.0.0").name)
    with pytest.raises(RegistryError, match=r"fashion-mnist/1\.0\.0: "):
        read_contents(registry, version)


def test_a_push_of_what_is_no_artifact_leaves_nothing(tmp_path: Path) -> None:
    registry, artifact = Registry.at(str(tmp_path / "registry")), variant(tmp_path / "artifact", "1.0.0")
    (artifact / "labels.txt").write_text("other\n")
    for folder in (artifact, tmp_path / "none", artifact / "labels.txt"):
        with pytest.raises(ArtifactError):
            registry.push(folder)
    assert not (tmp_path / "registry").exists()
    shutil.rmtree(artifact)
