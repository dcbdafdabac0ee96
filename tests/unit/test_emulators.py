"""The variables of the emulators are checked before Google's libraries read them."""

from __future__ import annotations

import pytest

from client.__main__ import main
from client.emulators import PUBSUB, STORAGE, check_form
from client.gcp import UsageError


@pytest.mark.parametrize(
    "value", ["http://127.0.0.1:8085", "https://x:1/", "localhost", "127.0.0.1:", ":8085", "127.0.0.1:port", "a:99999"]
)
def test_an_address_of_pubsub_that_is_none_is_refused_by_the_variables_name(value: str) -> None:
    with pytest.raises(UsageError, match=rf"^{PUBSUB} is '{value}'; it must look like HOST:PORT, such as "):
        check_form(PUBSUB, environ={PUBSUB: value})


@pytest.mark.parametrize("value", ["127.0.0.1:9023", "localhost", "ftp://x:1", "http://", "http://x:port"])
def test_a_url_of_storage_that_is_none_is_refused_by_the_variables_name(value: str) -> None:
    with pytest.raises(UsageError, match=rf"^{STORAGE} is '{value}'; it must look like http://HOST:PORT, such as "):
        check_form(STORAGE, environ={STORAGE: value})


def test_good_values_pass() -> None:
    check_form(PUBSUB, STORAGE, environ={})
    check_form(PUBSUB, STORAGE, environ={PUBSUB: "[::1]:8085", STORAGE: "https://storage.example"})


@pytest.mark.parametrize(
    "words", [["publish", "README.md"], ["upload", "README.md", "--bucket", "b"], ["watch"], ["doctor"]]
)
def test_each_command_that_uses_pubsub_refuses(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(PUBSUB, "http://127.0.0.1:8085")
    assert main([*words, "--project", "p"], {}) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"predictions {words[0]}: {PUBSUB} is 'http://127.0.0.1:8085'; ") and said.count("\n") == 1
