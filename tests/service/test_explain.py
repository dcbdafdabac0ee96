"""Explanations end to end: stock client, broker, worker process, shipped model; and the files of our client."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from client.__main__ import main
from infra.local.twin import Delivery, Twin
from tests.pubsub_client import PubsubClient
from tests.samples import encoded

GOOD = encoded()


@pytest.mark.parametrize("worker", ["push", "pull"])
def test_only_requests_with_explain_get_an_explanation(
    worker: Delivery,
    shared_twin: Callable[[Delivery], Twin],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    twin = shared_twin(worker)
    for name, value in twin.env.items():
        monkeypatch.setenv(name, value)
    with PubsubClient(twin.project) as pubsub:
        pubsub.publish(GOOD, request_id="plain")
        pubsub.publish(GOOD, request_id="why", explain="true")
        answers = {r.request_id: r for r in pubsub.responses({"plain", "why"})}
    assert answers["plain"].explanation is None
    why = answers["why"].explanation
    assert why is not None and why.method == "class_activation"
    assert why.label == answers["why"].predictions[0].label
    assert answers["plain"].predictions == answers["why"].predictions
    assert Image.open(io.BytesIO(why.png)).format == "PNG"

    monkeypatch.chdir(tmp_path)
    (tmp_path / "shoe.png").write_bytes(GOOD)
    commands = [["publish"], ["upload", "--bucket", twin.env["UPLOAD_BUCKET"]]]
    if worker == "push":
        commands.append(["predict", "--url", twin.env["WORKER_URL"]])
    for command in commands:
        assert main([*command, "shoe.png", "--explain"], twin.env) == 0
        written = tmp_path / "explanations" / "shoe.png.explained.png"
        assert f"the explanation is in {written.relative_to(tmp_path)}" in capsys.readouterr().err
        assert written.read_bytes() == why.png
        written.unlink()
