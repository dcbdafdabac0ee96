"""Settings: read, checked, refused by name."""

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
        ("ENGINE", "onnx"),
        ("ENGINE_THREADS", "0"),
        ("MAX_BATCH_SIZE", "0"),
        ("MAX_BATCH_SIZE", "many"),
        ("MAX_WAIT_MS", "-1"),
        ("MAX_WAIT_MS", "nan"),
        ("MAX_IMAGE_BYTES", "999"),
        ("PULL_MAX_MESSAGES", "1001"),
        ("PULL_MAX_BYTES", "1"),
        ("LOG_LEVEL", "debug"),
        ("LEDGER", "bucket/prefix"),
        ("LEDGER", "gs://Bucket"),
        ("LEDGER", "gs://"),
    ],
)
def test_a_wrong_value_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable} is '?{value}.*it must be"):
        Settings.from_env({"GOOGLE_CLOUD_PROJECT": "p", variable: value})


def test_every_setting_has_a_row() -> None:
    assert len({variable for variable, _, _ in rows()}) == len(rows()) >= 14
