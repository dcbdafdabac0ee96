"""The clock of this machine: `expires_at` and tokens are lost where it is far from the servers'."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from time import time

from client.doctor.clients import Clients
from client.doctor.finding import Finding, fail, ok, warn
from client.gcp import CALL_TIMEOUT_S

_WARN_S, _FAIL_S = 10, 300
_MEND = "sudo sntp -sS time.google.com" if sys.platform == "darwin" else "sudo timedatectl set-ntp true"


def check_clock(clients: Clients) -> Iterator[Finding]:
    """One line: this machine's time against the Date header of Cloud Storage, which is in whole seconds."""
    import requests

    began = time()
    answer = requests.head(clients.storage.api_endpoint, timeout=CALL_TIMEOUT_S, allow_redirects=False)
    here = (began + time()) / 2
    off = round(here - parsedate_to_datetime(answer.headers["Date"]).timestamp() - 0.5)
    said = f"is {abs(off)} s {'ahead of' if off > 0 else 'behind'} the server's"
    if abs(off) > _WARN_S:
        yield (fail if abs(off) > _FAIL_S else warn)("clock", said, _MEND)
    else:
        yield ok("clock", f"is within {_WARN_S} s of the server's")
