"""Refuses what another site's page sends, and sets the headers that keep this page to its own origin."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from client.web.iap import HEADER, IapTokens

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

_OTHER_HOST = "this address is not the page's own: open it by its IP address or as localhost"
_OTHER_SITE = "a page of another site sent this request, and only this page may"


class Guard:
    """Passes on requests for an IP address, localhost or `host`, from this origin or from no page at all.

    A name that an attacker's DNS server gives to this machine is none of them (DNS rebinding), and browsers state the
    origin of what a page sends. With `iap`, every request must have a token of IAP, and may name any host: Google's
    front end passes on requests for names of the service alone.
    """

    def __init__(self, app: ASGIApp, host: str, iap: IapTokens | None = None) -> None:
        self._app, self._host, self._iap = app, host.lower(), iap

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-cache")
            await send(message)

        if scope["type"] != "http":
            return
        headers, is_link = Headers(scope=scope), scope["method"] == "GET" and scope["path"] == "/"
        problem = (403, sentence) if (sentence := self._problem(headers, is_link=is_link)) else None
        if self._iap and not problem:
            problem = await run_in_threadpool(self._iap.problem, headers.getlist(HEADER))
        if problem:
            status, sentence = problem
            await JSONResponse({"error": sentence}, status)(scope, receive, send_guarded)
        else:
            await self._app(scope, receive, send_guarded)

    def _problem(self, headers: Headers, *, is_link: bool) -> str:
        """Return why a request is refused, "" where it is not. `is_link`: other sites may link to what is requested."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not (self._iap or self._is_own(hosts[0])):
            return _OTHER_HOST
        if any(_host_of(origin) != hosts[0].lower() for origin in origins):
            return _OTHER_SITE
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not is_link:
            return _OTHER_SITE
        return ""

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("localhost", self._host):
                return True
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True


def _host_of(origin: str) -> str:
    """Return the host and port of an origin, "" where it has none or is malformed."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
