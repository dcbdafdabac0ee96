"""Dead letters as the client reads, shows, saves and redrives them, without a broker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from google.api_core.exceptions import ServiceUnavailable
from google.pubsub_v1.types import PubsubMessage

from client.__main__ import main
from client.dead_letters.announcements import reason
from client.dead_letters.brokers import DeadLetters, Requests
from client.dead_letters.dead_letter import NO_DEAD_LETTER, DeadLetter
from client.dead_letters.output import details, show_rows
from client.dead_letters.payload_file import save_payload
from client.dead_letters.redrive import Redrive
from client.dead_letters.summary import HEADINGS, UNKNOWN, Summary, age_text
from functions.messages.contract import DEAD_LETTER, Envelope, Error, Response, encode_response
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE, decode
from functions.service.last_failures import MAX_REQUESTS, LastFailures
from model.text import size_text

NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DEAD = {"CloudPubSubDeadLetterSourceSubscription": "req_predict-sub", "CloudPubSubDeadLetterSourceDeliveryCount": "20"}
PNG = b"\x89PNG image"
NOTIFICATION = {"eventType": "OBJECT_FINALIZE", "bucketId": "uploads", "objectId": "a.png", "objectGeneration": "7"}
LINES = b'{"request_id": "a"}\n' + encode_line("b", PNG)
EVIL = "../[red]x\x1b[31m\ny\u202e"


def dead_letter(
    message_id: str = "m1",
    data: bytes = PNG,
    attributes: Mapping[str, str] | None = None,
    dead: Mapping[str, str] = DEAD,
    **more: str,
) -> DeadLetter:
    found = {**(attributes or {}), **more, **dead}
    return DeadLetter.read(PubsubMessage(data=data, message_id=message_id, publish_time=NOW, attributes=found))


def announced_id(each: DeadLetter) -> str:
    """The request id under which a worker announces a dead letter."""
    return decode(Envelope(each.message_id, each.data, each.attributes)).request_id


@pytest.mark.parametrize(
    "each",
    [
        dead_letter(request_id="r1"),
        dead_letter(),
        dead_letter(data=b'{"image_uri": "gs://b/o", "request_id": "body"}'),
        dead_letter(data=b'{"image_uri": "gs://b/o"}'),
        dead_letter(data=b"{}", attributes=NOTIFICATION),
        dead_letter(request_id="x" * 300),
        dead_letter(data=b"{broken"),
    ],
    ids=["attribute", "none", "body", "reference without", "notification", "too long", "rejected"],
)
def test_a_request_is_published_again_under_the_announced_id(each: DeadLetter) -> None:
    attributes = each.request_attributes()
    assert decode(Envelope("new", each.data, attributes)).request_id == announced_id(each)
    assert attributes["redriven"] == "1" and not [name for name in attributes if name.startswith("CloudPubSub")]


def test_own_attributes_are_kept() -> None:
    own = {"request_id": "r", "redriven": "2", "color": "red", "CloudPubSubOther": "mine"}
    assert dead_letter(attributes=own).request_attributes() == own | {"redriven": "3"}


@pytest.mark.parametrize(
    ("each", "obstacle"),
    [
        (dead_letter(), ""),
        (dead_letter(redriven="2"), ""),
        (dead_letter(redriven="3"), "redriven 3 times already, the limit is 3"),
        (dead_letter(redriven="99"), "redriven 99 times already, the limit is 3"),
        (dead_letter(redriven="-1"), "its attribute redriven is '-1'; it must be a whole number"),
        (dead_letter(redriven="٣"), "its attribute redriven is '٣'; it must be a whole number"),
        (dead_letter(redriven=""), "its attribute redriven is ''; it must be a whole number"),
        (dead_letter(expires_at="2026-11-28T11:59:59Z"), "expired at 2026-11-28T11:59:59.000Z"),
        (dead_letter(expires_at="2026-11-28T12:00:01Z"), ""),
        (dead_letter(dead={}), NO_DEAD_LETTER),
        (dead_letter(data=encode_response(Response("r"))), "a response, not a request"),
        (dead_letter(data=b"{broken"), ""),
    ],
)
def test_what_must_not_be_redriven_is_named(each: DeadLetter, obstacle: str) -> None:
    assert each.obstacle(NOW) == obstacle


def test_keep_expired_lifts_no_other_obstacle() -> None:
    assert dead_letter(expires_at="2020-01-01T00:00:00Z").obstacle(NOW, keep_expired=True) == ""
    assert dead_letter(expires_at="2020-01-01T00:00:00Z", redriven="3").obstacle(NOW, keep_expired=True)


@dataclass
class MemorySubscription:
    """Delivers these dead letters in pages, and remembers which are acked."""

    dead_letters: list[DeadLetter]
    acked: list[str] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def pages(self, size: int) -> Iterator[list[DeadLetter]]:
        self.sizes.append(size)
        while page := self.dead_letters[:size]:
            del self.dead_letters[:size]
            yield page

    def ack(self, message_ids: Iterable[str]) -> None:
        self.acked += message_ids


@dataclass
class MemoryPublisher:
    """Remembers what was published in which call. Refuses `refused`, and fails in call number `failing`."""

    subscription: MemorySubscription
    refused: str = ""
    failing: int = 0
    calls: list[list[str]] = field(default_factory=list)

    def publish(self, dead_letters: list[DeadLetter]) -> set[str]:
        ids = [each.message_id for each in dead_letters]
        assert not {*ids} & {*self.subscription.acked}, "published before acked"
        if len(self.calls) + 1 == self.failing:
            raise ServiceUnavailable("no route")
        self.calls.append(ids)
        return {self.refused} & {*ids}


def redrive(
    dead_letters: list[DeadLetter], *, refused: str = "", failing: int = 0, **settings: Any
) -> tuple[Redrive, MemorySubscription, MemoryPublisher, Iterator[tuple[DeadLetter, str]]]:
    subscription = MemorySubscription(dead_letters)
    publisher = MemoryPublisher(subscription, refused, failing)
    run = Redrive(cast(DeadLetters, subscription), **settings)
    return run, subscription, publisher, run.run(cast(Requests, publisher))


def many(count: int) -> list[DeadLetter]:
    return [dead_letter(f"m{number}", request_id=f"r{number}") for number in range(count)]


def test_a_redrive_acks_what_it_published_and_leaves_the_rest() -> None:
    run, subscription, publisher, judged = redrive([*many(2), dead_letter("m2", redriven="3")])
    assert {each.message_id: bool(obstacle) for each, obstacle in judged} == {"m0": False, "m1": False, "m2": True}
    assert (run.count, subscription.acked, publisher.calls) == (2, ["m0", "m1"], [["m0", "m1"]])


def test_nothing_is_acked_before_the_broker_confirms() -> None:
    run, subscription, publisher, judged = redrive(many(120), failing=2)
    with pytest.raises(ServiceUnavailable):
        list(judged)
    assert subscription.acked == [f"m{number}" for number in range(50)] == publisher.calls[0]
    assert run.count == 50


def test_a_refused_message_stays_and_the_others_are_published() -> None:
    run, subscription, _, judged = redrive(many(3), refused="m1")
    left = {each.message_id: obstacle for each, obstacle in judged if obstacle}
    assert left == {"m1": "the broker refuses it"}
    assert (run.count, subscription.acked) == (2, ["m0", "m2"])


def test_large_payloads_share_no_call() -> None:
    large = [replace(each, data=bytes(2_500_000)) for each in many(3)]
    _, _, publisher, judged = redrive(large)
    assert len(list(judged)) == 3 and publisher.calls == [["m0"], ["m1"], ["m2"]]


@pytest.mark.parametrize("limit", [1, 49, 50, 51])
def test_the_limit_is_exact(limit: int) -> None:
    run, subscription, _, judged = redrive(many(120), limit=limit)
    assert len(list(judged)) == run.count == len(subscription.acked) == limit and run.is_limited


def test_what_stays_does_not_count_towards_the_limit() -> None:
    _, subscription, _, judged = redrive([dead_letter("m9", redriven="3"), *many(3)], limit=2)
    assert [each.message_id for each, obstacle in judged if not obstacle] == ["m0", "m1"] == subscription.acked


def test_chosen_dead_letters_are_found_by_both_ids() -> None:
    run, subscription, _, judged = redrive(many(60), chosen={"m3", "r55", "r99"})
    assert [each.message_id for each, _ in judged] == ["m3", "m55"] == subscription.acked
    assert run.missing == {"r99"}


def test_a_dry_run_publishes_nothing() -> None:
    run, subscription, publisher, _ = redrive(many(3), limit=2)
    assert len(list(run.plan())) == 2 == run.count
    assert not subscription.acked and not publisher.calls


def test_a_request_that_dies_again_during_the_run_is_not_redriven_again() -> None:
    again = dead_letter("m99", request_id="r0", redriven="1")
    _, subscription, _, judged = redrive([*many(50), again])
    assert [each.message_id for each, obstacle in judged if obstacle] == ["m99"]
    assert "m99" not in subscription.acked


def test_two_dead_letters_of_one_request_are_both_redriven() -> None:
    _, subscription, _, judged = redrive([dead_letter("m1", request_id="r"), dead_letter("m2", request_id="r")])
    assert len(list(judged)) == 2 and subscription.acked == ["m1", "m2"]


@pytest.mark.parametrize(("rate", "page"), [(0.1, 1), (1.5, 1), (20, 20), (1000, 50)])
def test_the_rate_is_kept_by_waiting_after_each_page(rate: float, page: int) -> None:
    waits: list[float] = []
    _, subscription, _, judged = redrive(many(4), rate=rate, sleep=waits.append)
    assert len(list(judged)) == 4 and subscription.sizes == [page]
    pages = [min(4, done) / rate for done in range(page, 4 + page, page)]
    assert len(waits) == len(pages)
    assert all(due - 0.5 <= wait <= due for wait, due in zip(waits, pages, strict=True))


def test_a_summary_has_no_payload_and_the_reason_that_is_certain() -> None:
    known = Summary.of(dead_letter(data=b"{broken", request_id="r1"))
    assert known.reason.startswith("invalid: ") and known.explained({"r1": "Timeout"}) == known
    unknown = Summary.of(dead_letter(request_id="r1", filename="shoe.png"))
    assert unknown.reason == UNKNOWN and unknown.explained({}).reason == UNKNOWN
    assert unknown.explained({"r1": "Timeout"}).json(NOW + timedelta(seconds=90)) == {
        "request_id": "r1",
        "message_id": "m1",
        "died_at": "2026-11-28T12:00:00.000Z",
        "age_s": 90.0,
        "attempts": 20,
        "bytes": len(PNG),
        "file": "shoe.png",
        "redriven": 0,
        "reason": "Timeout",
    }
    assert unknown.row(NOW) == ("0s", "20", "10 B", "r1", "shoe.png", "unknown")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (3600, "1h"), (172_799, "47h"), (604_800, "7d")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (999_949, "999.9 kB"), (999_950, "1.0 MB")]
)
def test_sizes(size: int, text: str) -> None:
    assert size_text(size) == text


def test_untrusted_text_is_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    evil = dead_letter(request_id=EVIL, filename=EVIL, attributes={EVIL: EVIL})
    show_rows(HEADINGS, [Summary.of(evil).row(NOW)])
    print(details(evil, EVIL, NOW))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown and "\u202e" not in shown and "[red]x\\x1b[31m\\ny" in shown
    assert len(shown.splitlines()) == 2 + 9 + len(evil.attributes)


@pytest.mark.parametrize(
    ("each", "payload"),
    [
        (dead_letter(content_type="image/png"), "10 bytes, an image file (sent as image/png)"),
        (dead_letter(data=b'{"image_uri": "gs://bkt/o"}'), "27 bytes, a reference to gs://bkt/o"),
        (dead_letter(data=b"{}", attributes=NOTIFICATION), "2 bytes, a notification of gs://uploads/a.png#7"),
        (dead_letter(data=b""), "0 bytes, not a request: the message is empty"),
        (dead_letter(data=LINES, content_type=LINES_TYPE), f"{len(LINES)} bytes, 2 images, one of them 'b'"),
        (dead_letter(data=b"[]", content_type=LINES_TYPE), "2 bytes, not a request: line 1 is not a JSON object"),
        (
            dead_letter(attributes=NOTIFICATION | {"eventType": "OBJECT_DELETE"}),
            "10 bytes, not a request: event OBJECT_DELETE",
        ),
    ],
)
def test_the_payload_is_described(each: DeadLetter, payload: str) -> None:
    assert each.payload.startswith(payload)


@pytest.mark.parametrize(
    ("data", "name"),
    [(PNG, "___m_1.png"), (b"\xff\xd8\xffx", "___m_1.jpg"), (b"{}", "___m_1.json"), (b"?", "___m_1.bin")],
)
def test_a_file_is_named_after_the_message_and_never_by_the_sender(data: bytes, name: str, tmp_path: Path) -> None:
    evil = dead_letter("../m/1", data, filename="../../evil.png", request_id="/etc/evil")
    path = save_payload(evil, tmp_path)
    assert (path, path.read_bytes()) == (tmp_path / name, data)


def test_no_file_and_no_link_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there.png").write_bytes(b"old")
    (tmp_path / "link.png").symlink_to(tmp_path / "target.png")
    for name in ("there.png", "link.png"):
        with pytest.raises(FileExistsError):
            save_payload(dead_letter(), tmp_path / name)
    assert (tmp_path / "there.png").read_bytes() == b"old" and not (tmp_path / "target.png").exists()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (encode_response(Response("r", error=Error("unavailable", f"{DEAD_LETTER}: Timeout"))), ("r", "Timeout")),
        (encode_response(Response("r", error=Error("unavailable", DEAD_LETTER))), None),
        (encode_response(Response("r", error=Error("unavailable", "try again"))), None),
        (encode_response(Response("r", error=Error("expired", f"{DEAD_LETTER}: Timeout"))), None),
        (encode_response(Response("r")), None),
        (json.dumps({"request_id": "r"}).encode(), None),
        (b"\xff", None),
    ],
)
def test_the_reason_of_an_announcement(data: bytes, found: tuple[str, str] | None) -> None:
    assert reason(data) == found


def test_the_last_failures_are_bounded() -> None:
    failures = LastFailures()
    for number in range(MAX_REQUESTS + 1):
        failures.keep(f"r{number}", ValueError("secret"))
    failures.keep("r1", TimeoutError())
    assert (failures.get("r0"), failures.get("r1"), failures.get("r2")) == ("", "TimeoutError", "ValueError")
    failures.keep("new", ValueError())
    assert failures.get("r2") == "" and failures.get("r1") == "TimeoutError"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["purge", "--older-than", "7"], "'7' is no age; it must look like 90s, 30m, 12h or 7d"),
        (["purge", "--older-than", "-1d"], "'-1d' is no age"),
        (["redrive", "--rate", "0"], "0 is not a number"),
        (["redrive", "--limit", "0"], "0 is not a whole number from 1 up"),
        (["list", "--limit", "1.5"], "1.5 is not a whole number"),
        (["show"], "Missing argument 'ID'"),
        (["fly"], "No such command 'fly'"),
        (["list"], "no project is set"),
    ],
)
def test_wrong_arguments_are_refused(words: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dead-letters", *words], {}) == 2
    assert sentence in capsys.readouterr().err
