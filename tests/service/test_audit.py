"""The audit: deployed packages are locked by hash, and an audit without a result is reported."""

from __future__ import annotations

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from infra.audit import __main__ as audit
from infra.audit.__main__ import NotAudited, advisories, verdict
from tests.conftest import requirement_files

ENTRY = re.compile(
    r"^([a-z0-9][a-z0-9.-]*)==(\S+)(?: ; .*?)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.M
)


def locked(root: Path, name: str = "requirements.lock") -> dict[str, str]:
    text = "".join((root / "functions" / name).read_text().splitlines(keepends=True)[2:])
    assert ENTRY.sub("", text) == "", "every line is a release with its hashes"
    return {name: number for name, number, _ in ENTRY.findall(text)}


def pinned(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith(("#", "-r"))]
    return {name.lower(): number for name, _, number in (line.partition("==") for line in lines)}


def test_the_lock_file_satisfies_the_requirements(root: Path) -> None:
    assert pinned(root / "functions" / "requirements.txt").items() <= locked(root).items()


@pytest.mark.parametrize("name", ["kafka", "onnx"])
def test_the_lock_file_with_one_more_package_adds_it_alone(name: str, root: Path) -> None:
    added = locked(root, f"requirements-{name}.lock").items() - locked(root).items()
    assert set(added) == set(pinned(root / "functions" / f"requirements-{name}.txt").items())
    assert locked(root).items() <= locked(root, f"requirements-{name}.lock").items()


@pytest.mark.parametrize("name", ["gpu-onnx", "gpu-savedmodel"])
def test_the_lock_files_for_a_gpu_add_to_the_usual_one(name: str, root: Path) -> None:
    found = locked(root, f"requirements-{name}.lock")
    assert locked(root).items() <= found.items()
    [(package, number)] = pinned(root / "functions" / f"requirements-{name}.txt").items()
    assert found[package.partition("[")[0]] == number


def test_no_other_file_pins_another_release(root: Path) -> None:
    lock = locked(root)
    files = [file for file in requirement_files("requirements*.txt") if file.parent.name not in ("check", "audit")]
    assert len(files) > 10
    for file in files:
        assert {name: lock.get(name, number) for name, number in pinned(file).items()} == pinned(file), file


def test_installed_versions_are_the_locked_ones(root: Path) -> None:
    elsewhere = {"colorama"}  # on Windows alone
    assert {name: version(name) for name in locked(root).keys() - elsewhere} == {
        name: number for name, number in locked(root).items() if name not in elsewhere
    }


def test_the_image_installs_from_the_lock_file(root: Path) -> None:
    assert "--require-hashes -r /${LOCK}" in (root / "Dockerfile").read_text()
    assert "ARG LOCK=requirements.lock\n" in (root / "Dockerfile").read_text()
    assert "ARG ALSO=requirements.lock\n" in (root / "Dockerfile").read_text()
    assert "requirements.txt" not in (root / "Dockerfile").read_text()


def said(**vulnerabilities: list[str]) -> str:
    return json.dumps(
        {
            "dependencies": [
                {"name": name, "version": "1", "vulns": [{"id": each} for each in ids]}
                for name, ids in vulnerabilities.items()
            ]
        }
    )


CANARY = {"pillow 5.0.0": ["PYSEC-1"]}


def test_a_known_vulnerability_is_reported() -> None:
    code, report = verdict(CANARY, advisories(said(flask=["CVE-1", "CVE-2"], numpy=[]), ""))
    assert code == 1 and report.splitlines() == ["audited: 1 of 2 packages are vulnerable", "  flask 1: CVE-1, CVE-2"]


def test_an_audit_that_misses_a_known_vulnerability_is_void() -> None:
    clean = advisories(said(flask=[], numpy=[]), "")
    assert verdict(CANARY, clean) == (0, "audited: 2 packages, no known vulnerability")
    with pytest.raises(NotAudited, match="its results mean nothing"):
        verdict({"pillow 5.0.0": []}, clean)


def test_a_skipped_package_voids_the_audit() -> None:
    skipped = json.dumps({"dependencies": [{"name": "flask", "skip_reason": "not found"}]})
    for output in (skipped, "", "[]", "{}", "No known vulnerabilities found"):
        with pytest.raises(NotAudited):
            advisories(output, "")


def test_a_failed_audit_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def failed(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 1, "", "one\nno such host\n")

    monkeypatch.setattr(subprocess, "run", failed)
    assert audit.main() == audit.NOT_AUDITED
    assert capsys.readouterr() == ("", "NOT AUDITED: no such host\n")
