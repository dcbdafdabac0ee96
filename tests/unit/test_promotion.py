"""Promotion: which saved verdict allows it, what one write changes, and what is refused."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from model.__main__ import main
from model.errors import NotRegistered, RegistryError
from model.registry.aliases import CANDIDATE, STABLE, Target
from model.registry.promotion import promote
from model.registry.registry import Registry, now
from model.registry.verdicts import (
    BETTER,
    FOLDER,
    NO_WORSE,
    NOT_ENOUGH_DATA,
    VERDICTS,
    WORSE,
    Verdict,
    encode_verdict,
    find_verdict,
    parse_verdict,
    save_verdict,
)
from tests.registry_models import NAME, push, set_alias


class Shop:
    """A registry with two versions, of which the second is a candidate at 5 %."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "registry"
        self.registry = Registry.at(str(self.folder))
        self.old, self.new = push(self.registry, folder, "1.0.0", "1.1.0")
        set_alias(self.registry, self.old)
        set_alias(self.registry, self.new, CANDIDATE, percent=5.0, shadow=True)

    def verdict(self, said: str = NO_WORSE, **changed: Any) -> Verdict:
        made = Verdict(
            NAME,
            self.old,
            self.new,
            said,
            "a shadow: 300 requests to both models",
            {"stable": 300, "candidate": 300},
            {"min_images": 200, "margin": 0.01, "max_disagreement": None},
            ("within: other labels 0.33%",),
            now(),
        )
        return replace(made, **changed)

    def named(self) -> dict[str, str]:
        return {alias: each.target.version for alias, each in self.registry.aliases(NAME).items()}

    @property
    def file(self) -> Path:
        [file] = (self.folder / NAME / FOLDER).iterdir()
        return file


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("said", [BETTER, NO_WORSE])
def test_a_verdict_allows_a_promotion_in_one_write(said: str, shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict(said))
    done = promote(shop.registry, NAME)
    assert (done.before, done.after, done.overridden) == (shop.old, shop.new, "")
    aliases = shop.registry.aliases(NAME)
    assert aliases[STABLE].target == shop.new and aliases[STABLE].previous == (shop.old,)
    assert aliases[STABLE].percent is None
    assert (aliases[CANDIDATE].target, aliases[CANDIDATE].percent, aliases[CANDIDATE].shadow) == (shop.new, 0.0, False)
    assert aliases[STABLE].rolled_back(now()).target == shop.old


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"verdict": WORSE}, "says worse: within: other labels"),
        ({"verdict": NOT_ENOUGH_DATA}, "says not enough data"),
        ({"made_at": (datetime.now(UTC) - timedelta(days=7.2)).isoformat()}, "is 7.2 days old; at most 7 are allowed"),
        ({"made_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}, "which is in the future"),
    ],
)
def test_other_verdicts_refuse_it_unless_forced(changed: dict[str, Any], why: str, shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict(**changed))
    with pytest.raises(RegistryError, match=why):
        promote(shop.registry, NAME)
    assert shop.named() == {STABLE: "1.0.0", CANDIDATE: "1.1.0"}
    assert why in promote(shop.registry, NAME, force=True).overridden
    assert shop.named()[STABLE] == "1.1.0"


def test_an_older_verdict_is_allowed_on_request(shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict(made_at=(datetime.now(UTC) - timedelta(days=20)).isoformat()))
    assert promote(shop.registry, NAME, max_age_days=30).overridden == ""


def test_the_verdict_is_on_exactly_these_digests(shop: Shop, tmp_path: Path) -> None:
    save_verdict(shop.registry, shop.verdict())
    [newer] = push(shop.registry, tmp_path, "1.2.0")
    set_alias(shop.registry, newer, CANDIDATE)
    with pytest.raises(RegistryError, match=r"no comparison of 1\.0\.0 with 1\.2\.0 is saved"):
        promote(shop.registry, NAME)
    set_alias(shop.registry, newer, STABLE)
    set_alias(shop.registry, shop.new, CANDIDATE)
    with pytest.raises(RegistryError, match=r"no comparison of 1\.2\.0 with 1\.1\.0 is saved"):
        promote(shop.registry, NAME)


def test_the_latest_verdict_counts(shop: Shop) -> None:
    for said in (NO_WORSE, WORSE):
        save_verdict(shop.registry, shop.verdict(said))
    found = find_verdict(shop.registry, NAME, shop.old, shop.new)
    assert found and found.verdict == WORSE and shop.file.name.endswith(".json")
    assert find_verdict(shop.registry, NAME, shop.new, shop.old) is None


def test_what_cannot_be_promoted_is_named(shop: Shop) -> None:
    with pytest.raises(NotRegistered, match="has no alias next; it has candidate, stable"):
        promote(shop.registry, NAME, "next", force=True)
    with pytest.raises(RegistryError, match="stable cannot be promoted to itself"):
        promote(shop.registry, NAME, STABLE)
    with pytest.raises(RegistryError, match="has no alias live, so that nothing was compared"):
        promote(shop.registry, NAME, to="live")
    assert promote(shop.registry, NAME, to="live", force=True).before is None
    with pytest.raises(RegistryError, match=r"live of .* names 1\.1\.0 already"):
        promote(shop.registry, NAME, to="live", force=True)


def test_a_damaged_verdict_refuses(shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict())
    shop.file.write_text("{}")
    with pytest.raises(RegistryError, match="holds no verdict"):
        promote(shop.registry, NAME)
    assert "holds no verdict" in promote(shop.registry, NAME, force=True).overridden


def test_a_copied_verdict_refuses(shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict())
    body = json.loads(shop.file.read_text())
    body["stable"], body["candidate"] = body["candidate"], body["stable"]
    shop.file.write_text(json.dumps(body))
    with pytest.raises(RegistryError, match="is about other models: it was copied by hand"):
        promote(shop.registry, NAME)


def test_a_verdict_on_another_digest_than_the_registrys_is_not_saved(shop: Shop) -> None:
    other = Target("1.1.0", f"sha256:{'e' * 64}")
    with pytest.raises(RegistryError, match=r"1\.1\.0 in .* has another digest"):
        save_verdict(shop.registry, shop.verdict(candidate=other))
    with pytest.raises(NotRegistered):
        save_verdict(shop.registry, shop.verdict(candidate=replace(shop.new, version="9.0.0")))


@pytest.mark.parametrize("said", VERDICTS)
def test_a_verdict_is_read_as_it_was_written(said: str, shop: Shop) -> None:
    verdict = shop.verdict(said)
    assert parse_verdict(encode_verdict(verdict), "x") == verdict


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("schema_version", 2),
        ("name", "../x"),
        ("verdict", "fine"),
        ("made_at", "yesterday"),
        ("made_at", "2026-11-29T08:00:00"),
        ("stable", {"version": "1.0.0"}),
        ("stable", {"version": "1.0.0", "digest": "sha256:../../x"}),
        ("candidate", {"version": "../1", "digest": f"sha256:{'a' * 64}"}),
        ("counts", {"stable": 1.5}),
        ("thresholds", {"margin": "0.01"}),
        ("thresholds", {"margin": True}),
        ("reasons", "within"),
        ("more", 1),
    ],
)
def test_a_wrong_field_is_named(field: str, value: object, shop: Shop) -> None:
    body = json.loads(encode_verdict(shop.verdict())) | {field: value}
    with pytest.raises(RegistryError, match=r"^x holds no verdict: "):
        parse_verdict(json.dumps(body).encode(), "x")


def test_of_two_promotions_at_once_one_wins(shop: Shop) -> None:
    save_verdict(shop.registry, shop.verdict())
    start, said = threading.Barrier(2), list[str]()

    def run() -> None:
        start.wait()
        try:
            promote(Registry.at(str(shop.folder)), NAME)
            said.append("promoted")
        except RegistryError as exc:
            said.append(str(exc))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said.count("promoted") == 1 and shop.registry.aliases(NAME)[STABLE].previous == (shop.old,)
    [refused] = [text for text in said if text != "promoted"]
    assert "at the same time" in refused or "already" in refused


class TestCommand:
    """The command `alias promote`."""

    def run(self, shop: Shop, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
        code = main(["alias", "promote", NAME, *words, "--registry", str(shop.folder)])
        said = capsys.readouterr()
        return code, said.out, said.err

    def test_it_says_what_it_did_and_how_to_take_it_back(self, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, err = self.run(shop, capsys)
        assert (code, out) == (1, "") and "no comparison of 1.0.0 with 1.1.0 is saved" in err
        save_verdict(shop.registry, shop.verdict())
        code, out, err = self.run(shop, capsys)
        assert (code, err) == (0, "")
        assert f"{NAME}@stable names 1.1.0 instead of 1.0.0; workers follow" in out
        assert "says no worse" in out and "predictions model rollback fashion-mnist stable" in out

    def test_force_prints_what_it_overrides(self, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = self.run(shop, capsys, "--force")
        assert code == 0 and "overridden by --force: no comparison of 1.0.0 with 1.1.0 is saved" in out

    def test_a_refusal_names_what_speaks_against_the_candidate(
        self, shop: Shop, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reasons = (
            "beyond: share of Shirt +17.65%",
            "open: errors +1%",
            "within: p95 ratio 0.41",
            "and the shares of 7",
        )
        save_verdict(shop.registry, shop.verdict(WORSE, reasons=reasons))
        code, _, err = self.run(shop, capsys)
        assert code == 1 and "is not promoted (--force promotes it anyway): the comparison of" in err
        assert err.endswith("says worse: beyond: share of Shirt +17.65%; open: errors +1%\n")

    def test_json(self, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
        save_verdict(shop.registry, shop.verdict())
        found = json.loads(self.run(shop, capsys, "--json")[1])
        assert found["after"]["version"] == "1.1.0" and found["verdict"]["verdict"] == NO_WORSE

    @pytest.mark.parametrize("days", ["0", "-1", "nan", "366", "x"])
    def test_days_have_a_range(self, days: str, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            self.run(shop, capsys, "--max-age-days", days)
        assert "--max-age-days" in capsys.readouterr().err

    def test_a_registry_must_be_named(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("REGISTRY", raising=False)
        assert main(["alias", "promote", NAME]) == 1
        assert "give --registry a folder or gs://bucket/prefix, or set REGISTRY" in capsys.readouterr().err
