"""The process of a training job ends in time, and leaves no file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from functions.messages.contract import Envelope
from functions.messages.training import TrainingRequest, decode_training
from functions.retrain.answering import answer
from functions.retrain.process import JobTooLong, run_job
from functions.retrain.settings import TrainSettings

BODY = {"kind": "evaluate", "request_id": "r", "model": "clothing", "data": "/data"}


def settings(work: Path) -> TrainSettings:
    given = {"GOOGLE_CLOUD_PROJECT": "p", "REGISTRY": "/registry", "TRAIN_DATA": "/data", "TRAIN_WORK": str(work)}
    return TrainSettings.from_env(given)


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(JobTooLong, match="it took longer than 0 s"):
        run_job({"kind": "evaluate", "data": "", "limits": {}}, 0.01, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_long_training_is_answered_with_the_reason(tmp_path: Path) -> None:
    request = decode_training(Envelope("m", json.dumps(BODY).encode()))
    assert isinstance(request, TrainingRequest)
    found = answer(request, replace(settings(tmp_path), max_s=60.0), lambda job, _, work: run_job(job, 0.01, work))
    assert found.response.error and found.response.error.code == "invalid_request"
    assert found.response.error.message.startswith("the training was ended because it took longer than")
