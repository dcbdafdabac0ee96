"""Fault injection through /retry_test, as in Google's storage-testbench, for the retry suites of Google's clients."""

from __future__ import annotations

import re
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from infra.local.storage.addresses import is_json
from infra.local.storage.answer import Answer, Refusal
from infra.local.storage.request import Request

HEADER = "x-retry-test-id"
_PATH = re.compile(r"/retry_tests?(?:/(?P<id>[0-9a-f]{32}))?")
_KNOWN = re.compile(
    r"return-(?:(?P<code>[45]\d\d)(?:-after-(?P<uploaded>\d+)K)?|(?P<reset>reset-connection)"
    r"|(?P<broken>broken-stream)(?:-after-(?P<downloaded>\d+)K|-final-chunk-after-(?P<last>\d+)B)?)"
)
# Bytes of a broken stream that are sent, as in the testbench.
_FEW = 4


class RetryTests:
    """The retry tests by their ids. A test holds for each API method the instructions for its next calls."""

    def __init__(self) -> None:
        self._tests: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    def manage(self, request: Request, methods: frozenset[str]) -> Answer | None:
        """Answer a request that creates, reads, lists or deletes tests; None for every other request."""
        if not request.path.startswith("/retry_test") or not (match := _PATH.fullmatch(request.path)):
            return None
        number = match["id"]
        if request.method == "POST" and request.path == "/retry_test":
            return Answer.of(self._create(request.json(), methods))
        with self._lock:
            if request.method == "GET" and request.path == "/retry_tests":
                return Answer.of({"retry_test": [_shown(each) for each in self._tests.values()]})
            if not number:
                return None
            test = self._find(number)
            if request.method == "DELETE":
                del self._tests[number]
                return Answer(b"Deleted", headers={"Content-Type": "text/plain"})
            return Answer.of(_shown(test)) if request.method == "GET" else None

    def obey(self, request: Request, method: str, handle: Callable[[], Answer], received: int) -> Answer:
        """The response to a call of an API method, with the fault of the test that the request names.

        `received`: bytes of a resumable upload that the server already has.
        """
        with self._lock:
            instructions = self._find(request.headers[HEADER])["instructions"].get(method)
            match = _KNOWN.fullmatch(instructions[0]) if instructions else None
            if not match or not _applies(match, request, received, method):
                match = None
            elif not match["last"]:
                instructions.popleft()
        if not match:
            return handle()
        if match["reset"]:
            return Answer(broken_after=-1)
        if match["code"]:
            return self._fail(request, int(match["code"]), int(match["uploaded"] or 0) * 1024, handle)
        answer = handle()
        if match["last"]:
            if answer.status != 200 or "X-Http-Status-Code-Override" in answer.headers:
                return answer
            with self._lock:
                instructions.popleft()
        answer.broken_after = int(match["last"] or int(match["downloaded"] or 0) * 1024 or _FEW)
        return answer

    def _fail(self, request: Request, code: int, stop: int, handle: Callable[[], Answer]) -> Answer:
        first = _first(request)
        if stop and "upload_id" in request.query and first < stop:
            request.body = bytes(memoryview(request.body)[: stop - first])
            request.spool = None
            del request.headers["Content-Range"]
            request.headers["Content-Range"] = f"bytes {first}-{stop - 1}/*"
            handle()
        return Answer.refusal(code, f"Retry Test: Caused a {code}")

    def _create(self, asked: Mapping[str, Any], methods: frozenset[str]) -> dict[str, Any]:
        instructions, transport = asked.get("instructions"), str(asked.get("transport", "HTTP")).upper()
        if not isinstance(instructions, Mapping) or not all(isinstance(each, list) for each in instructions.values()):
            raise Refusal(400, 'instructions must look like {"storage.buckets.list": ["return-503"]}', "invalid")
        if transport != "HTTP":
            raise Refusal(501, f"transport must be HTTP, not {transport!r}: this server has no gRPC", "notImplemented")
        for method, faults in instructions.items():
            if method not in methods:
                raise Refusal(400, f"There is no method {method!r} for fault injection", "invalid")
            for fault in faults:
                if not _KNOWN.fullmatch(str(fault)):
                    kinds = "return-503, return-503-after-256K, return-reset-connection and return-broken-stream"
                    raise Refusal(400, f"An instruction must be like {kinds}, not {fault!r}", "invalid")
        test: dict[str, Any] = {
            "id": uuid.uuid4().hex,
            "instructions": {method: deque(faults) for method, faults in instructions.items()},
            "transport": transport,
        }
        with self._lock:
            self._tests[test["id"]] = test
            return _shown(test)

    def _find(self, number: str) -> dict[str, Any]:
        if number not in self._tests:
            raise Refusal(404, f"There is no retry test {number!r}", "notFound")
        return self._tests[number]


def _shown(test: Mapping[str, Any]) -> dict[str, Any]:
    left = {method: list(faults) for method, faults in test["instructions"].items()}
    return {**test, "instructions": left, "completed": not any(left.values())}


def _applies(match: re.Match[str], request: Request, received: int, method: str) -> bool:
    """Whether a call gets as far as the instruction's number of bytes."""
    if match["uploaded"]:
        stop = int(match["uploaded"]) * 1024
        end = _first(request) + len(request.body)
        return method == "storage.objects.insert" and len(request.body) > 0 and received < stop <= end
    if match["downloaded"]:
        return method == "storage.objects.get" and (request.query.get("alt") == "media" or not is_json(request.path))
    return not match["last"] or "upload_id" in request.query


def _first(request: Request) -> int:
    found = re.match(r"bytes (\d+)-", request.headers.get("Content-Range", ""))
    return int(found[1]) if found else 0
