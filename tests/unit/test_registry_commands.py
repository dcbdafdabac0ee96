"""The commands of `predictions model` for a registry in a folder."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.__main__ import main
from model.commands import tables
from model.registry.moves import set_alias
from model.registry.registry import Registry
from tests.registry_models import NAME, push, seal, variant

Run = Callable[..., str]
ALIAS = ("set", "list", "delete")
COMMANDS = [["push"], ["list"], ["show"], ["diff"], ["rollback"], ["gc"], *(["alias", action] for action in ALIAS)]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a registry of three versions, of which stable has named two and candidate names one."""
    folder = tmp_path_factory.mktemp("template")
    registry = Registry.at(str(folder / "registry"))
    push(registry, folder, "1.1.0", "1.2.0", "1.3.0")
    set_alias(registry, NAME, "stable", "1.1.0")
    set_alias(registry, NAME, "stable", "1.2.0")
    set_alias(registry, NAME, "candidate", "1.3.0", 5, True)
    return folder


@pytest.fixture
def registry(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.setenv("REGISTRY", str(tmp_path / "registry"))
    return Registry.at(str(tmp_path / "registry"))


@pytest.fixture
def run(registry: Registry, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command, which exits with `code`; returns stdout, or stderr of one that fails."""

    def run(*words: str, code: int = 0) -> str:
        try:
            returned = main([*words], program="predictions model")
        except SystemExit as exc:
            returned = int(str(exc.code or 0))
        out, err = capsys.readouterr()
        assert returned == code, out + err
        assert out == "" if code else err == ""
        return err if code else out

    return run


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_example_in_the_help_works(
    words: list[str], run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tmp_path / f"{NAME}-1.3.0", tmp_path / "build" / "artifacts" / "photos")
    seal(tmp_path / "build" / "artifacts" / "photos", "1.0.0", "photos")
    monkeypatch.chdir(tmp_path)
    shown = " ".join(run(*words, "--help").split())
    example = shown.partition("example: predictions model ")[2]
    assert example.startswith(" ".join(words))
    assert run(*shlex.split(example))


def test_the_help_of_all_commands_fits_80_columns(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, run("--help").splitlines())) <= 80


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("columns", [40, 80])
def test_the_help_fits_the_terminal(words: list[str], columns: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    long = [line for line in run(*words, "--help").splitlines() if len(line) > columns]
    assert [line for line in long if not re.fullmatch(r" +(\[\S+ \S+\]|\S+)", line)] == []


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize(
    "words", [["list"], ["alias", "list", NAME], ["gc", NAME, "--keep", "0", "--days", "0", "--dry-run"]]
)
def test_tables_fit_the_terminal(words: list[str], columns: int, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_columns", lambda: columns)
    if words[0] == "gc":
        run("alias", "delete", NAME, "candidate")
    shown = run(*words)
    assert max(map(len, shown.splitlines())) <= columns and "1.3.0" in shown


def test_the_terminals_width_counts_and_that_of_a_pipe_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    headings, rows = ["version", "size", "why"], [["1.0.0", "5 MB", "x" * 30], ["1.1.0", "", "y"]]
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr("sys.stdout", io.StringIO())
    assert tables.table(headings, rows).splitlines() == [
        "version  size  why",
        f"1.0.0    5 MB  {'x' * 30}",
        "1.1.0          y",
    ]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert tables.table(headings, [["1.0.0", "5 MB", "one two three four five six"]]).splitlines() == [
        "version  size  why",
        "1.0.0    5 MB  one two three four five",
        "               six",
    ]
    assert tables.table(headings, [["1.0.0", "5 MB", "one two three four candidate 0 %"]]).splitlines()[1:] == [
        "1.0.0    5 MB  one two three four",
        "               candidate 0 %",
    ], "a number stays with its sign"
    monkeypatch.setenv("COLUMNS", "20")
    assert tables.table(headings, rows).splitlines() == [
        "1.0.0",
        "  size  5 MB",
        f"  why   {'x' * 30}",
        "1.1.0",
        "  why   y",
    ]
    assert tables.facts([("a", "one two three four"), ("bcd", "x")], "  ").splitlines() == [
        "  a    one two three",
        "       four",
        "  bcd  x",
    ]


def test_push(run: Run, registry: Registry, tmp_path: Path) -> None:
    artifact = variant(tmp_path / "new", "1.4.0")
    found = json.loads(run("push", str(artifact), "--version", "1.10.0", "--json"))
    assert found["version"] == "1.10.0" and found["address"] == registry.address_of(NAME, "1.10.0")
    assert registry.versions(NAME)[-1] == "1.10.0"
    hint = f"  predictions model alias set {NAME} candidate 1.10.0"
    assert run("push", str(artifact), "--version", "1.10.0").splitlines()[-1] == hint
    other = str(tmp_path / "another one")
    assert run("push", str(artifact), "--registry", other).endswith(f"candidate 1.4.0 --registry '{other}'\n")
    said = run("push", str(artifact), "--version", "1.1.0", code=1)
    assert re.fullmatch(r"model push: .*/fashion-mnist/1\.1\.0 holds another artifact, .* with --version .*\n", said)
    assert "manifest.json is missing from" in run("push", str(tmp_path / "none"), code=1)


def test_list(run: Run, registry: Registry, tmp_path: Path) -> None:
    shown = run("list").splitlines()
    assert shown[0] == NAME
    assert shown[1].split() == ["version", "digest", "engines", "size", "pushed", "aliases"]
    assert [line.split()[0] for line in shown[2:]] == ["1.3.0", "1.2.0", "1.1.0"], "the newest first"
    assert shown[2].endswith("candidate 5 %, shadow") and shown[3].endswith("stable") and "2.7 MB" in shown[4]
    [model] = json.loads(run("list", "--json"))
    assert model["model"] == NAME
    first = model["versions"][0]
    assert (first["version"], first["aliases"], first["problem"]) == ("1.3.0", ["candidate"], None)
    assert first["digest"] == registry.version(NAME, "1.3.0").target.digest and first["pushed_at"].endswith("Z")
    (tmp_path / "registry" / NAME / "1.3.0" / "labels.txt").unlink()
    assert "1.3.0    not usable" in run("list", NAME) and "labels.txt is missing or cut off" in run("list", NAME)
    assert run("list", "other", code=1).endswith("has no model other; the models are fashion-mnist\n")


def test_show(run: Run, registry: Registry) -> None:
    shown = run("show", NAME)
    assert shown.startswith(f"{NAME} 1.2.0\n")
    for text in ("aliases        stable", "T-shirt/top 1.2.0", "258,650", "MODEL_CARD.md", "golden images  2", "int8"):
        assert text in shown
    found = json.loads(run("show", f"{NAME}@candidate", "--json"))
    assert (found["version"], len(found["labels"]), found["golden_images"]) == ("1.3.0", 10, 2)
    assert json.loads(run("show", f"{NAME}@1.1.0", "--json"))["aliases"] == []
    assert "has no alias beta; it has candidate, stable" in run("show", f"{NAME}@beta", code=1)
    assert "has no version 9 of fashion-mnist; it has 1.1.0, 1.2.0, 1.3.0" in run("show", f"{NAME}@9", code=1)
    assert "the model is '../x'" in run("show", "../x", code=1)


def test_diff(run: Run, registry: Registry, tmp_path: Path) -> None:
    artifact = variant(tmp_path / "new", "2.0.0")
    labels = (tmp_path / f"{NAME}-1.2.0" / "labels.txt").read_text().splitlines()
    (artifact / "labels.txt").write_text("".join(f"{label}\n" for label in [*labels[:9], "Boot"]))
    signature = json.loads((artifact / "signature.json").read_text())
    signature["preprocessing"]["steps"][-1]["factor"] = 0.5
    (artifact / "signature.json").write_text(json.dumps(signature))
    golden = json.loads((artifact / "golden.json").read_text())
    golden["images"][0]["scores"]["litert"][0] += 0.25
    (artifact / "golden.json").write_text(json.dumps(golden))
    registry.push(seal(artifact, "2.0.0"))
    shown = run("diff", f"{NAME}@stable", f"{NAME}@2.0.0")
    for line in (
        f"{NAME} 1.2.0 → {NAME} 2.0.0",
        "  + Boot",
        "  - Ankle boot 1.2.0",
        "  -scale factor=0.00392156862745098 offset=0.0",
        "  +scale factor=0.5 offset=0.0",
        "  litert: same best label in 2 of 2 images, scores differ by at most 0.2500",
    ):
        assert line in shown.splitlines(), shown
    found = json.loads(run("diff", f"{NAME}@stable", f"{NAME}@2.0.0", "--json"))
    assert found["labels"]["added"] == ["Boot"] and set(found["files"]) == {"labels.txt", "signature.json"}
    combined = tmp_path / "combined"
    run(
        "combine",
        str(tmp_path / f"{NAME}-1.2.0"),
        str(tmp_path / f"{NAME}-1.2.0"),
        "--name",
        NAME,
        "--out",
        str(combined),
    )
    run("push", str(combined), "--version", "3.0.0")
    shown = run("diff", NAME, f"{NAME}@3.0.0")
    assert f"  from  one model\n  to    mean: {NAME} 1.2.0, {NAME} 1.2.0\n" in shown
    assert f"\n  only in {NAME} 1.2.0\n  model.tflite " in shown and f"\n  only in {NAME} 3.0.0\n  comp" in shown
    same = json.loads(run("diff", NAME, f"{NAME}@1.2.0", "--json"))
    assert set(same) == {"from", "to", "golden"} and same["golden"]["litert"]["largest_difference"] == 0
    assert "the digests are equal" in run("diff", NAME, f"{NAME}@1.2.0")


def test_rollback_says_what_it_did(run: Run, registry: Registry) -> None:
    shown = run("rollback", NAME)
    assert shown.splitlines() == [
        f"{NAME}@stable names 1.1.0 instead of 1.2.0; workers follow within 30 s",
        f"{NAME}@candidate still gets 5 % of the requests, with 1.3.0",
    ]
    said = run("rollback", NAME, code=1)
    assert said == (
        f"model rollback: {NAME}@stable names 1.1.0; there is no earlier version to roll back to; alias set names any "
        "version\n"
    )
    run("alias", "set", NAME, "candidate", "1.1.0")
    found = json.loads(run("rollback", NAME, "candidate", "--to", "1.3.0", "--json"))
    assert (found["version"], found["percent"], found["before"]["version"]) == ("1.3.0", 0, "1.1.0")


def test_a_canary_that_moves_is_paused(run: Run) -> None:
    shown = run("alias", "set", NAME, "candidate", "1.1.0")
    assert shown.splitlines() == [
        f"{NAME}@candidate names 1.1.0 instead of 1.3.0; workers follow within 30 s",
        f"{NAME}@candidate is a canary with 0 % of the requests",
        "its 5 % ended: alias set with --percent begins again",
        f"{NAME}@candidate is no shadow any more",
    ]
    found = json.loads(run("alias", "set", NAME, "candidate", "1.1.0", "--percent", "2.5", "--shadow", "--json"))
    assert (found["percent"], found["shadow"], found["previous"][0]["version"]) == (2.5, True, "1.3.0")


@pytest.mark.parametrize("percent", ["-1", "100.1", "nan", "inf", "five", ""])
def test_percentages_that_are_refused(percent: str, run: Run, registry: Registry) -> None:
    before = registry.aliases(NAME)
    run("alias", "set", NAME, "candidate", "1.3.0", "--percent", percent, code=2)
    assert registry.aliases(NAME) == before


def test_a_sum_over_100_is_refused(run: Run, registry: Registry) -> None:
    said = run("alias", "set", NAME, "beta", "1.1.0", "--percent", "96", code=1)
    assert (
        said == "model alias set: the percentages are beta 96 and candidate 5, which sum to 101; at most 100 are "
        "allowed\n"
    )
    assert "beta" not in registry.aliases(NAME)


@pytest.mark.parametrize("option", ["--percent=5", "--percent=0", "--shadow"])
def test_stable_is_no_canary_and_no_shadow(option: str, run: Run) -> None:
    assert "takes no percent and is no shadow" in run("alias", "set", NAME, "stable", "1.1.0", option, code=1)


def test_aliases_are_listed_and_deleted(run: Run) -> None:
    shown = run("alias", "list", NAME).splitlines()
    assert [line.split()[:2] for line in shown[1:]] == [["candidate", "1.3.0"], ["stable", "1.2.0"]]
    assert "5 %, shadow" in shown[1] and shown[2].endswith("1.1.0")
    assert "candidate is deleted; it named 1.3.0, which stays" in run("alias", "delete", NAME, "candidate")
    assert "--force" in run("alias", "delete", NAME, "stable", code=1)
    run("alias", "delete", NAME, "stable", "--force")
    assert json.loads(run("alias", "list", NAME, "--json")) == {"model": NAME, "aliases": []}
    assert "has no alias" in run("alias", "list", NAME)
    assert "has no model other" in run("alias", "list", "other", code=1)


def test_gc_asks(
    run: Run, registry: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["gc", NAME, "--keep", "0", "--days", "0"]
    run("alias", "delete", NAME, "candidate")
    assert "nothing is deleted (--dry-run)" in run(*words, "--dry-run")
    assert "give --yes, or --dry-run" in run(*words, code=1)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal("n\n"))
    assert main(words) == 1
    out, err = capsys.readouterr()
    assert (
        out == "" and "delete 1 version of fashion-mnist in " in err and err.endswith("model gc: nothing is deleted\n")
    )
    assert registry.versions(NAME) == ["1.1.0", "1.2.0", "1.3.0"]
    monkeypatch.setattr("sys.stdin", Terminal("y\n"))
    assert main(words) == 0
    assert "fashion-mnist: 1 version deleted, 2.7 MB" in capsys.readouterr().out
    assert registry.versions(NAME) == ["1.1.0", "1.2.0"]
    found: dict[str, Any] = json.loads(run(*words, "--yes", "--json"))
    assert found == {"model": NAME, "found": [], "deleted": []}
    assert run("gc", NAME) == (
        f"{NAME} has no version to delete; the newest 5 (--keep), and what was pushed in the last 24 hours (--days) "
        "stay too\n"
    )
    assert "has no model other" in run("gc", "other", "--yes", code=1)


@pytest.mark.parametrize(
    "words", [["--keep", "-1"], ["--keep", "x"], ["--days", "-1"], ["--days", "nan"], ["--keep", "1.5"]]
)
def test_limits_of_gc_that_are_refused(words: list[str], run: Run) -> None:
    run("gc", NAME, *words, code=2)


def test_the_registry_is_an_option_or_a_variable(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    address = os.environ["REGISTRY"]
    monkeypatch.setenv("REGISTRY", "/nowhere")
    assert run("list", "--registry", address).startswith(NAME)
    assert "the registry folder /nowhere does not exist" in run("list", code=1)
