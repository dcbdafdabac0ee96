"""The command line: defaults, refusals with a message and exit code 2, and a quick --help."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from client.__main__ import main
from client.gcp import Cloud, UsageError
from client.transport.base import SendOptions, cut
from client.transport.topic import inline_limit
from tests.command_line import parsed

PROJECT = {"GOOGLE_CLOUD_PROJECT": "p"}


def test_defaults_come_from_the_environment() -> None:
    environ = PROJECT | {"PAYLOAD_BUCKET": "pay", "UPLOAD_BUCKET": "up", "WORKER_URL": "http://w"}
    publish = parsed(["publish", "a.png"], environ)
    assert (publish.project, publish.topic, publish.response_topic) == ("p", "req_predict", "res_predict")
    assert publish.bucket == "pay" and publish.timeout == 60
    assert (publish.top_k, publish.model, publish.expires_in, publish.explain) == (None, None, None, False)
    assert parsed(["upload", "a.png"], environ).bucket == "up"
    assert parsed(["predict", "a.png"], environ).url == "http://w"
    environ |= {"ENDPOINT_URL": "http://d", "REQUEST_TOPIC": "dev-req_predict", "RESPONSE_TOPIC": "dev-res_predict"}
    assert parsed(["predict", "a.png"], environ).url == "http://d"
    publish = parsed(["publish", "a.png"], environ)
    assert (publish.topic, publish.response_topic) == ("dev-req_predict", "dev-res_predict")
    assert parsed(["publish", "a.png", "--topic", "mine"], environ).topic == "mine"
    assert parsed(["publish", "a.png"], {"REQUEST_TOPIC": ""}).topic == "req_predict"


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["publish", "README.md", "--top-k", "0"],
        ["publish", "README.md", "--top-k", "101"],
        ["publish", "README.md", "--top-k", "abc"],
        ["publish", "README.md", "--timeout", "nan"],
        ["publish", "README.md", "--timeout", "-1"],
        ["publish", "README.md", "--expires-in", "soon"],
        ["watch", "--limit", "0"],
    ],
)
def test_wrong_arguments_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words, PROJECT) == 2
    said = capsys.readouterr()
    assert ("Error: " in said.err or not words) and "Usage: predictions " in said.err and not said.out


@pytest.mark.parametrize(
    ("words", "environ", "sentence"),
    [
        (["publish", "nope.png"], PROJECT, "no image file is at nope.png"),
        (["publish", "README.md"], {}, "set GOOGLE_CLOUD_PROJECT"),
        (["publish", "README.md"], PROJECT | {"INLINE_LIMIT": "3000001"}, "INLINE_LIMIT is '3000001'; it must be"),
        (["publish", "README.md", "--no-wait", "--subscription", "s"], PROJECT, "--no-wait receives nothing"),
        (["upload", "README.md"], PROJECT, "set UPLOAD_BUCKET"),
        (["predict", "README.md"], PROJECT, "set ENDPOINT_URL or WORKER_URL"),
        (["watch"], {}, "set GOOGLE_CLOUD_PROJECT"),
    ],
)
def test_a_missing_setting_is_named(
    words: list[str],
    environ: dict[str, str],
    sentence: str,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    assert main(words, environ) == 2
    said = capsys.readouterr()
    assert sentence in said.err and not said.out


def test_full_names_need_no_project() -> None:
    assert Cloud("").topic_path("projects/q/topics/t") == "projects/q/topics/t"
    assert Cloud("p").subscription_path("s") == "projects/p/subscriptions/s"
    with pytest.raises(UsageError):
        Cloud("").topic_path("t")


@pytest.mark.parametrize("text", ["0", "-1", "3000001", "1e6", "many", "9" * 5000, "\u0661"])
def test_the_inline_limit_is_checked(text: str) -> None:
    with pytest.raises(UsageError, match="INLINE_LIMIT"):
        inline_limit({"INLINE_LIMIT": text})


def test_the_inline_limit() -> None:
    assert inline_limit({}) == inline_limit({"INLINE_LIMIT": " "}) == 1_000_000
    assert inline_limit({"INLINE_LIMIT": "3000000"}) == 3_000_000


def test_request_options_become_attributes() -> None:
    assert SendOptions().attributes() == {}
    given = dict(SendOptions(top_k=3, model="m", expires_in_s=60).attributes())
    left = datetime.fromisoformat(given.pop("expires_at")) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert given == {"top_k": "3", "model": "m"}


def test_names_are_cut_between_characters() -> None:
    assert cut("aé", 2) == "a" and cut("aé", 3) == "aé"
    assert cut("\udcff.png", 1024) == "?.png"


@pytest.mark.parametrize(("old", "new"), [("DOOR_URL", "ENDPOINT_URL"), ("DOOR_TOKEN", "ENDPOINT_TOKEN")])
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", "a.png"], PROJECT | {old: "http://w"}) == 2
    assert f"{old} is set; its name is {new} since" in capsys.readouterr().err
