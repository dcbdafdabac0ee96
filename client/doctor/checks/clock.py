"""Checks the clock of this machine: `expires_at` and tokens fail where it differs much from the servers'."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from time import time

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok, warn
from client.gcp import CALL_TIMEOUT_S

_WARN_S, _FAIL_S = 10, 300
"""Seconds of difference: short expiry times suffer from the first, tokens are rejected from the second on."""

_FIX = "sudo sntp -sS time.google.com" if sys.platform == "darwin" else "sudo timedatectl set-ntp true"


def check_clock(clients: Clients) -> Iterator[Finding]:
    """Yield one finding: this machine's time compared with the Date header of Cloud Storage, in whole seconds."""
    import requests

    began = time()
    reply = requests.head(clients.storage.api_endpoint, timeout=CALL_TIMEOUT_S, allow_redirects=False)
    here = (began + time()) / 2
    off = round(here - parsedate_to_datetime(reply.headers["Date"]).timestamp() - 0.5)
    message = f"is {abs(off)} s {'ahead of' if off > 0 else 'behind'} the server's"
    if abs(off) > _WARN_S:
        yield (fail if abs(off) > _FAIL_S else warn)("clock", message, _FIX)
    else:
        yield ok("clock", f"is within {_WARN_S} s of the server's")
