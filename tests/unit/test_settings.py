"""Settings: read from the environment, checked, and refused by name."""

from __future__ import annotations

import pytest

from functions.settings import Settings, SettingsError, rows


def test_defaults_need_only_a_project() -> None:
    made = Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", "MAX_BATCH_SIZE": ""})
    assert made.topic_path(made.response_topic) == "projects/p/topics/res_predict"
    assert made.subscription_path(made.request_subscription) == "projects/p/subscriptions/req_predict-sub"
    assert made.engine == "auto" and made.max_batch_size == 8


def test_full_names_need_no_project() -> None:
    names = {
        "RESPONSE_TOPIC": "projects/q/topics/t",
        "REQUEST_SUBSCRIPTION": "projects/q/subscriptions/s",
        "DEAD_SUBSCRIPTION": "projects/q/subscriptions/d",
    }
    made = Settings.from_env(names)
    assert made.topic_path(made.response_topic) == "projects/q/topics/t"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GOOGLE_CLOUD_PROJECT", ""),
        ("ENGINE", "torch"),
        ("ENGINE_THREADS", "0"),
        ("SCORING_THREADS", "65"),
        ("WORKER_PROCESSES", "0"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "257"),
        ("MAX_BATCH_SIZE", "many"),
        ("MAX_WAIT_MS", "-1"),
        ("MAX_WAIT_MS", "nan"),
        ("MAX_IMAGE_BYTES", "999"),
        ("PULL_MAX_MESSAGES", "0"),
        ("PULL_MAX_MESSAGES", "1001"),
        ("PULL_MAX_BYTES", "1"),
        ("ALLOWED_BUCKETS", "gs://photos"),
        ("ALLOWED_BUCKETS", "photos,"),
        ("HTTP_ENDPOINT", "yes"),
        ("OIDC_JWKS_URL", "file:///etc/passwd"),
        ("LOG_LEVEL", "debug"),
        ("RESPONSE_STORE", "bucket/prefix"),
        ("RESPONSE_STORE", "gs://Bucket"),
        ("RESPONSE_STORE", "gs://"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '?{value}.*it must be"):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", variable: value})


def test_by_default_no_bucket_is_read_and_the_http_endpoint_is_closed() -> None:
    made = Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p"})
    assert made.buckets == frozenset() and made.http_endpoint == "off"


def test_buckets_are_a_list() -> None:
    made = Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", "ALLOWED_BUCKETS": "photos, p-uploads"})
    assert made.buckets == {"photos", "p-uploads"}


@pytest.mark.parametrize(
    ("given", "absent"),
    [("PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"), ("PUSH_SERVICE_ACCOUNT", "PUSH_AUDIENCE")],
)
def test_push_settings_must_be_set_together(given: str, absent: str) -> None:
    with pytest.raises(SettingsError, match=f"{given} is set and {absent} is not"):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", given: "x"})


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"MAX_BATCH_SIZE": "1", "MAX_WAIT_MS": "5"}, "MAX_WAIT_MS is 5 and MAX_BATCH_SIZE 1: an image would wait"),
        ({"MAX_BATCH_SIZE": "32", "PULL_MAX_MESSAGES": "16"}, "MAX_BATCH_SIZE is 32 and PULL_MAX_MESSAGES 16"),
        ({"PULL_MAX_MESSAGES": "1", "MAX_WAIT_MS": "5"}, "MAX_WAIT_MS is 5 and MAX_BATCH_SIZE 1"),
    ],
)
def test_contradictory_settings_are_refused_with_the_reason(given: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p"} | given)


@pytest.mark.parametrize(
    ("given", "batch", "held"),
    [
        ({}, 8, 256),
        ({"PULL_MAX_MESSAGES": "4"}, 4, 4),
        ({"MAX_BATCH_SIZE": "256"}, 256, 256),
        ({"MAX_BATCH_SIZE": "16", "PULL_MAX_MESSAGES": "16"}, 16, 16),
    ],
)
def test_an_explicit_value_overrides_a_derived_default(given: dict[str, str], batch: int, held: int) -> None:
    made = Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p"} | given)
    assert (made.max_batch_size, made.pull_max_messages) == (batch, held)


@pytest.mark.parametrize(
    ("given", "cores", "scorers"),
    [
        ({}, 1, 1),
        ({}, 4, 4),
        ({"ENGINE_THREADS": "2"}, 4, 2),
        ({"ENGINE_THREADS": "8"}, 4, 1),
        ({"WORKER_PROCESSES": "2"}, 4, 2),
        ({"SCORING_THREADS": "3"}, 4, 3),
    ],
)
def test_scoring_threads_fit_the_cores(given: dict[str, str], cores: int, scorers: int) -> None:
    assert Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p"} | given).scorers(cores) == scorers


def test_every_setting_has_a_row() -> None:
    assert len({variable for variable, _, _ in rows()}) == len(rows()) >= 14


@pytest.mark.parametrize("value", ["on", ""])
@pytest.mark.parametrize(("old", "new"), [("HTTP_DOOR", "HTTP_ENDPOINT"), ("LEDGER", "RESPONSE_STORE")])
def test_an_old_name_is_refused_with_the_new_one(old: str, new: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{old} is set; its name is {new} since"):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", old: value})
