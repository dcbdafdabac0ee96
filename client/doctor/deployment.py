"""The deployed worker: its names in the cloud, and the commands and flags that belong to it."""

from __future__ import annotations

from dataclasses import dataclass

from client.project_id import service_account

SECURE = "https://"
"""Pub/Sub pushes to https addresses only. A plain http address is a worker of the local twin."""


@dataclass(frozen=True, slots=True)
class Deployment:
    """The worker that the subscriptions should push to. `url` has no path, and is empty where it is not known.

    `prefix` includes its hyphen. `compute` is the kind of worker, as in Terraform's variable of that name.
    """

    project: str
    url: str
    prefix: str
    region: str
    compute: str = "push"

    @property
    def service(self) -> str:
        """The name of the worker's Cloud Run service."""
        return f"{self.prefix}prediction-{'function' if self.compute == 'function' else 'worker'}"

    @property
    def page(self) -> str:
        """The name of the page's Cloud Run service."""
        return f"{self.prefix}prediction-page"

    @property
    def invoker(self) -> str:
        """The service account that signs pushes, as Terraform names it."""
        return service_account(f"{self.prefix}prediction-invoker", self.project)

    @property
    def deploy(self) -> list[str]:
        """The command that deploys the worker."""
        words = ["make", "deploy", f"PROJECT={self.project}", f"REGION={self.region}"]
        prefixed = [f"PREFIX={self.prefix.removesuffix('-')}"] if self.prefix else []
        return [*words, *prefixed, *([f"COMPUTE={self.compute}"] if self.compute != "push" else [])]

    def push_flags(self, path: str, base: str = "") -> list[str]:
        """Return gcloud's flags for pushing to a path of the worker at `base`, by default `url`.

        An https address gets tokens too.
        """
        base = base or self.url
        audience = base if self.compute == "function" else self.service  # a function accepts only its own address
        signed = [f"--push-auth-service-account={self.invoker}", f"--push-auth-token-audience={audience}"]
        return [f"--push-endpoint={base}{path}", *(signed if base.startswith(SECURE) else [])]
