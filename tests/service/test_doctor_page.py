"""The doctor's check of the page in the cloud, against a server that replies as IAP or Cloud Run does."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from client.__main__ import main
from client.doctor.checks.page import check_page
from client.doctor.deployment import Deployment
from client.doctor.finding import Finding
from infra.local.ports import free_port

DEPLOYED = Deployment("shop", "", "dev-", "europe-west1")
SIGN_IN = {
    "Location": "https://accounts.google.com/o/oauth2/v2/auth?client_id=1",
    "X-Goog-IAP-Generated-Response": "true",
}


@contextmanager
def replying(status: int, headers: dict[str, str]) -> Iterator[str]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def found(url: str) -> Finding:
    [finding] = check_page(url, DEPLOYED)
    return finding


@pytest.mark.parametrize("status", [302, 401])
def test_a_page_that_asks_for_a_sign_in_is_ok(status: int) -> None:
    with replying(status, SIGN_IN) as url:
        assert (found(url).level, found(url).message) == ("ok", f"Identity-Aware Proxy asks for a sign-in at {url}")


IAP_ON = "gcloud beta run services update dev-prediction-page --iap --region=europe-west1 --project=shop"
DEPLOY = "make deploy PROJECT=shop REGION=europe-west1 PREFIX=dev TFVARS=FILE"


@pytest.mark.parametrize(
    ("status", "headers", "said", "fix"),
    [
        (200, {}, "everyone can open the page", IAP_ON),
        (302, {"Location": "https://pages.example/"}, "everyone can open the page", IAP_ON),
        (401, {}, "it answers 401, so nobody can open it", IAP_ON),
        (403, {}, "it answers 403, so nobody can open it", IAP_ON),
        (404, {}, "there is no service at", DEPLOY),
    ],
)
def test_a_page_without_iap_is_a_fault(status: int, headers: dict[str, str], said: str, fix: str) -> None:
    with replying(status, headers) as url:
        finding = found(url)
    assert finding.level == "fail" and said in finding.message and finding.fix == fix


def test_a_page_that_is_not_there_is_a_fault() -> None:
    finding = found(f"http://127.0.0.1:{free_port()}")
    assert finding.level == "fail" and "nothing answers at" in finding.message and finding.fix == DEPLOY


def test_an_address_with_a_path_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--project", "shop"], {"PAGE_URL": "https://page.example/x"}) == 2
    assert "--page-url is 'https://page.example/x'; it must look like" in capsys.readouterr().err
