"""The worker: answers where pushes go, and has its model."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass

from client.doctor.finding import Finding, fail, ok, warn
from client.doctor.gcloud import gcloud
from client.text import printable

SECURE = "https://"
"""Pub/Sub itself pushes to nothing else; plain http is a worker on this machine or in this room."""

_CONNECT_S = 5.0
_START_S = 30.0
"""An instance may have to start, and to load its model."""

_TURNED_AWAY = (401, 403)
_CLOSED = 404
"""What Cloud Run tells callers from outside, where only the project may call; also where no service is."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The worker as pushes are to find it. `url`: without a path, empty where it is not known.

    `prefix`: with its hyphen; `compute`: what the worker is, as Terraform's variable says.
    """

    project: str
    url: str
    prefix: str
    region: str
    compute: str = "push"

    @property
    def service(self) -> str:
        """What Cloud Run knows it by."""
        return f"{self.prefix}prediction-{'function' if self.compute == 'function' else 'worker'}"

    @property
    def invoker(self) -> str:
        """Whom Pub/Sub is when it pushes, as Terraform names it."""
        return f"{self.prefix}prediction-invoker@{self.project}.iam.gserviceaccount.com"

    @property
    def deploy(self) -> list[str]:
        """What puts the worker there."""
        words = ["make", "deploy", f"PROJECT={self.project}", f"REGION={self.region}"]
        prefixed = [f"PREFIX={self.prefix.removesuffix('-')}"] if self.prefix else []
        return [*words, *prefixed, *([f"COMPUTE={self.compute}"] if self.compute != "push" else [])]

    def flags(self, path: str, base: str = "") -> list[str]:
        """What has gcloud push to a path of the worker at `base`, by default `url`, with tokens where they can be."""
        base = base or self.url
        audience = base if self.compute == "function" else self.service  # a function has none of its own
        signed = [f"--push-auth-service-account={self.invoker}", f"--push-auth-token-audience={audience}"]
        return [f"--push-endpoint={base}{path}", *(signed if base.startswith(SECURE) else [])]


def check_worker(what: str, base: str, deployment: Deployment) -> Finding:
    """Ask the worker at `base` whether it is ready."""
    import requests

    deployed = base.startswith(SECURE)
    try:
        answer = requests.get(f"{base}/ready", timeout=(_CONNECT_S, _START_S), allow_redirects=False)
    except requests.RequestException as exc:
        again = shlex.join(deployment.deploy) if deployed else "make up"
        return fail(what, f"nothing answers at {base} ({type(exc).__name__})", again)
    if answer.ok:
        return ok(what, f"the worker is ready{_model(answer.text)}")
    if deployed and answer.status_code in _TURNED_AWAY:
        return ok(what, f"the worker turns strangers away with {answer.status_code}")
    if deployed and answer.status_code == _CLOSED:
        describe = gcloud(
            deployment.project, "run", "services", "describe", deployment.service, f"--region={deployment.region}"
        )
        return warn(what, f"{base} is closed to callers from here, or no worker is there", describe)
    read = ["run", "services", "logs", "read", deployment.service, f"--region={deployment.region}"]
    log = gcloud(deployment.project, *read) if deployed else "tail build/local/*/worker.log"
    return fail(what, f"the worker at {base} is not ready, it answers {answer.status_code}", log)


def _model(text: str) -> str:
    """Which model a worker that is ready has; nothing when it is not one of ours."""
    try:
        return printable(" with {model} {version}".format_map(json.loads(text)))
    except (ValueError, LookupError, TypeError):
        return ""
