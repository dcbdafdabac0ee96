"""Requests to train and evaluate, their answers, and the schemas that describe both."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from functions.messages.contract import Envelope, Error, Model, Response
from functions.messages.training import (
    CONFIG,
    RejectedTraining,
    Scores,
    Training,
    TrainingAnswer,
    TrainingRequest,
    answer_attributes,
    decode_answer,
    decode_training,
    encode_answer,
    encode_training,
    version_of,
)
from functions.retrain.alerts import from_alert
from functions.retrain.settings import TrainSettings
from functions.settings import SettingsError
from model.registry.names import check_version

SCHEMAS = Path(__file__).parents[2] / "infra" / "schemas"
REQUEST = json.loads((SCHEMAS / "training_request.json").read_text())
ANSWER = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "response.json").read_text()))
SENT = datetime(2026, 11, 29, 8, 5, tzinfo=UTC)
GOOD: dict[str, Any] = {
    "kind": "train",
    "request_id": "r1",
    "model": "clothing",
    "data": "gs://photos/clothing/",
    "config": {"backbone": "MobileNetV2", "epochs": 3},
}


def decoded(body: object, **attributes: str) -> TrainingRequest | RejectedTraining:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_training(Envelope("m1", data, attributes, SENT, 2))


def good(body: dict[str, Any] = GOOD, **attributes: str) -> TrainingRequest:
    request = decoded(body, **attributes)
    assert isinstance(request, TrainingRequest), request
    return request


def test_a_request_is_decoded() -> None:
    request = good(reply_to="me")
    assert (request.kind, request.request_id, request.model, request.base) == ("train", "r1", "clothing", "stable")
    assert (request.data, request.reply_to) == ("gs://photos/clothing", "me")
    assert request.config == {"backbone": "MobileNetV2", "epochs": 3}
    assert good({key: value for key, value in GOOD.items() if key != "request_id"}).request_id == "m1"
    assert good(json.loads(encode_training(request))) == request


def test_the_schema_allows_what_is_decoded() -> None:
    validator = jsonschema.Draft202012Validator(REQUEST)
    validator.validate(GOOD)
    validator.validate(json.loads(encode_training(good(reply_to="me"))))
    types = {name: rule["type"] for name, rule in REQUEST["properties"]["config"]["properties"].items()}
    json_type = {str: "string", int: "integer", bool: "boolean", float: "number"}
    assert types == {name: json_type[kinds[0]] for name, kinds in CONFIG.items()}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "tune"}, "kind is 'tune'; it must be train or evaluate"),
        ({"weights": "/etc/x"}, "the request has the field 'weights'; allowed are kind, request_id"),
        ({"model": ""}, "model is ''; it must be text of 1 to 1024 bytes"),
        ({"data": None}, "data is 'null'; it must be text"),
        ({"config": []}, "config is '[]'; it must be an object"),
        ({"config": {"weights": "/etc/x"}}, "config has the option 'weights'; allowed are alpha, backbone"),
        ({"config": {"backbone": "A", "epochs": "3"}}, "config: epochs is text; it must be a whole number (it is '3')"),
        ({"config": {"backbone": "A", "epochs": True}}, "config: epochs is true or false; it must be a whole number"),
        ({"config": {}}, "config has no backbone"),
        ({"kind": "evaluate"}, "config has 'backbone'; it must be empty to evaluate"),
        ({"request_id": "x" * 257}, "request_id is 257 bytes; at most 256 are allowed"),
    ],
)
def test_a_wrong_field_is_named(change: dict[str, Any], words: str) -> None:
    found = decoded(GOOD | change)
    assert isinstance(found, RejectedTraining) and words in found.reason


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[1]", "the message is '[1]'; it must be a JSON object with kind"),
        (b"\xff\x00", "it must be a JSON object with kind"),
        (b"[" * 100_000, "it must be a JSON object with kind"),
        (b" " * 100_001, "the message has 100,001 bytes; at most 100,000 are allowed"),
        (b'{"kind": "train", "kind": "evaluate"}', "'kind' is stated twice"),
        (b'{"kind": "train", "model": "\\ud800", "data": "d"}', "config has no backbone"),
    ],
)
def test_what_is_no_request_is_rejected_under_its_own_id(data: bytes, words: str) -> None:
    found = decoded(data, request_id="mine", reply_to="me")
    assert isinstance(found, RejectedTraining) and words in found.reason
    assert (found.request_id, found.reply_to, found.delivery_attempt) == ("mine", "me", 2)


def test_the_attribute_must_say_the_same() -> None:
    found = decoded(GOOD, request_id="other")
    assert isinstance(found, RejectedTraining)
    assert found.reason == "request_id is 'r1' in the request and 'other' in its attributes"


def test_a_redelivery_has_the_same_version_and_another_request_has_another() -> None:
    first = good()
    assert version_of(replace(first, delivery_attempt=1)) == f"2026.11.29.0805-{first.key}"
    assert check_version(version_of(first)) == f"2026.11.29.0805.2-{first.key}", "the first may be pushed in part"
    assert good().key == first.key
    others = [good(GOOD | change) for change in ({"request_id": "r2"}, {"data": "gs://photos/other"}, {"base": "old"})]
    assert len({first.key, *(other.key for other in others)}) == 4
    again = decode_training(Envelope("m2", json.dumps(GOOD).encode(), {}, SENT + timedelta(hours=1)))
    assert isinstance(again, TrainingRequest) and again.key == first.key, "sent twice"


MODEL = Model("clothing", "1.0.0", f"sha256:{'0' * 64}", "litert")


def answers() -> list[TrainingAnswer]:
    done = Response("r1", model=MODEL, completed_at="2026-11-29T08:05:00.000Z")
    scores = Scores(0.9, 0.8, 0.05)
    alone = Training(90, scores, True, "candidate names it")
    compared = Training(90, scores, False, "worse", "stable", "0.9.0", Scores(0.95, 0.94, 0.01))
    failed = Response("r1", error=Error("invalid_request", "x"), completed_at="2026-11-29T08:05:00.000Z")
    return [
        TrainingAnswer("train", done, alone),
        TrainingAnswer("evaluate", done, compared),
        TrainingAnswer("train", failed),
    ]


@pytest.mark.parametrize("answer", answers(), ids=["alone", "compared", "error"])
def test_an_answer_follows_the_schema_of_responses(answer: TrainingAnswer) -> None:
    data, attributes = encode_answer(answer), answer_attributes(answer)
    ANSWER.validate(json.loads(data))
    assert attributes["kind"] == answer.kind and attributes["request_id"] == "r1"
    assert decode_answer(data, attributes) == answer


def test_an_answer_without_a_result_or_with_predictions_is_against_the_schema() -> None:
    body = json.loads(encode_answer(answers()[0]))
    wrong: list[dict[str, Any]] = [{"training": None}, {"predictions": [{"label": "a", "score": 1}]}, {"training": {}}]
    for change in wrong:
        assert list(ANSWER.iter_errors(body | change)), change


def settings(**changes: str) -> TrainSettings:
    given = {"GOOGLE_CLOUD_PROJECT": "p", "REGISTRY": "gs://models/registry", "TRAIN_DATA": "gs://photos/a"}
    return TrainSettings.from_env(given | changes)


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("gs://photos/a", True),
        ("gs://photos/a/b", True),
        ("gs://photos/ab", False),
        ("gs://photos/a/../b", False),
        ("gs://photos", False),
        ("gs://other/a", False),
        ("/a", False),
        ("a", False),
    ],
)
def test_data_is_below_the_prefix(place: str, allowed: bool) -> None:
    assert settings().is_allowed_data(place) is allowed


def test_a_link_does_not_lead_out_of_the_data_folder(tmp_path: Path) -> None:
    (tmp_path / "data" / "in").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")
    found = settings(TRAIN_DATA=str(tmp_path / "data"))
    assert found.is_allowed_data(f"{tmp_path}/data/in")
    assert not found.is_allowed_data(f"{tmp_path}/data/link")
    assert not found.is_allowed_data("gs://photos/a")


def incident(state: str = "open", **fields: str) -> Envelope:
    body = {"incident": {"incident_id": "0.n1", "state": state} | fields, "version": "1.2"}
    return Envelope("m1", json.dumps(body).encode(), {}, SENT, 1)


def test_an_incident_requests_what_the_operator_has_set() -> None:
    wanted = json.dumps({name: value for name, value in GOOD.items() if name != "request_id"})
    asked = from_alert(incident(), settings(TRAIN_ON_ALERT=wanted).on_alert)
    assert asked
    request = decode_training(asked)
    assert isinstance(request, TrainingRequest)
    assert (request.request_id, request.model, request.published_at) == ("incident-0.n1", "clothing", SENT)
    assert from_alert(incident("closed"), wanted) is None


def test_an_incident_is_refused_where_it_requests_nothing() -> None:
    asked = from_alert(incident(), "")
    assert asked
    found = decode_training(asked)
    assert isinstance(found, RejectedTraining) and "the request has the field 'incident'" in found.reason


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"incident": 1}', json.dumps(GOOD).encode()])
def test_other_messages_stay_as_they_are(payload: bytes) -> None:
    envelope = Envelope("m1", payload, {}, SENT, 1)
    assert from_alert(envelope, json.dumps(GOOD)) is envelope


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"TRAIN_ON_ALERT": "{}"}, "TRAIN_ON_ALERT is '{}'; it must be a training request without request_id"),
        ({"TRAIN_ON_ALERT": json.dumps(GOOD)}, "it must be a training request without request_id"),
        ({"TRAIN_DATA": ""}, "TRAIN_DATA is ''; it must be gs://bucket/prefix"),
        ({"TRAIN_DATA": "photos"}, "TRAIN_DATA is 'photos'"),
        ({"REGISTRY": ""}, "REGISTRY is ''; it must be a folder, or gs://bucket/prefix"),
        ({"TRAIN_MODELS": "A b"}, "TRAIN_MODELS is 'A b'; it must be names"),
        ({"TRAIN_ENGINES": "onnx"}, "TRAIN_ENGINES is 'onnx'; it must be litert, savedmodel"),
        ({"TRAIN_MARGIN": "2"}, "TRAIN_MARGIN is 2.0; it must be a share"),
        ({"TRAIN_MAX_IMAGES": "many"}, "TRAIN_MAX_IMAGES is 'many'; it must be a whole number"),
        ({"GOOGLE_CLOUD_PROJECT": ""}, "GOOGLE_CLOUD_PROJECT is ''"),
    ],
)
def test_a_wrong_setting_is_named(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as error:
        settings(**changes)
    assert words in str(error.value)
