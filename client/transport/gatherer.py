"""Gathers images that several threads send at the same time into one message."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from functions.messages.contract import MAX_LINES, ObjectRef, encode_reference
from functions.messages.image_lines import encode_line
from functions.messages.request_decoder import LINES_TYPE

AUTO = "auto"

AUTO_IMAGES = 32
"""Images in a message by `auto`: more make a message take longer, and hardly any cheaper."""

AUTO_BYTES = 16_000
"""Bytes of the largest image that `auto` gathers. A larger one costs more in base64 than it saves as a request."""

MESSAGE_BYTES = 1_000_000
"""Bytes of the lines of a message, unless a single image has more."""

GATHER_S = 0.05
"""Seconds that an image waits for others."""

_THREADS, _MOST_THREADS = 16, 256
"""Images published at the same time, at least and at most. Each thread waits for the message of its image."""

Publish = Callable[[bytes, Mapping[str, str]], Future[str]]
"""Publishes a message; the future ends when the broker has it. May raise."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """One image: its bytes or a reference to it, and the attributes that it has in a message of its own."""

    image: bytes | ObjectRef
    attributes: Mapping[str, str]

    def line(self) -> bytes:
        """Return its line in a message."""
        return encode_line(self.attributes["request_id"], self.image, self.attributes.get("filename", ""))


@dataclass(slots=True, eq=False)
class _Message:
    """A message that is being filled. `published` ends when the broker has it, or fails."""

    images: list[Gathered] = field(default_factory=list)
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    is_full: threading.Event = field(default_factory=threading.Event)
    published: Future[str] = field(default_factory=Future)

    def add(self, image: Gathered, line: bytes) -> None:
        self.images.append(image)
        self.lines.append(line)
        self.size += len(line) + 1

    def content(self, asked: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """Return data and attributes. One image has a message without lines."""
        first = self.images[0]
        if len(self.images) == 1:
            data = encode_reference(first.image) if isinstance(first.image, ObjectRef) else first.image
            return data, first.attributes
        # The id is that of the first image: a worker that knows no lines rejects the message under it.
        attributes = {name: value for name, value in first.attributes.items() if name != "filename"}
        return b"\n".join(self.lines), attributes | {"content_type": LINES_TYPE, **asked}


class Gatherer:
    """Puts up to `most` images into a message. Callable from any thread.

    `asked`: the attributes of messages with several images that say how they are answered.
    """

    def __init__(self, publish: Publish, most: int, asked: Mapping[str, str]) -> None:
        self._publish, self._most, self._asked = publish, most, asked
        self._lock = threading.Lock()
        self._open = _Message()

    def send(self, image: Gathered, timeout_s: float) -> None:
        """Send an image with those of other threads, and wait until the broker confirms the message.

        The thread of a message's first image waits for others, so no thread exists for that alone. Raises the error of
        the publish call.
        """
        line, full = image.line(), list[_Message]()
        with self._lock:
            if self._open.images and self._open.size + len(line) > MESSAGE_BYTES:
                full.append(self._closed())
            message, is_first = self._open, not self._open.images
            message.add(image, line)
            if len(message.images) == self._most:
                full.append(self._closed())
        for each in full:
            self._send(each)
        if is_first and not message.is_full.wait(GATHER_S):
            with self._lock:
                is_open = message is self._open
                if is_open:
                    self._closed()
            if is_open:
                self._send(message)
        message.published.result(timeout_s)

    def _closed(self) -> _Message:
        """Close the open message for further images, and open the next one."""
        message, self._open = self._open, _Message()
        message.is_full.set()
        return message

    def _send(self, message: _Message) -> None:
        try:
            published = self._publish(*message.content(self._asked))
        except Exception as exc:
            message.published.set_exception(exc)
            return

        def end(published: Future[str]) -> None:
            if failure := published.exception():
                message.published.set_exception(failure)
            else:
                message.published.set_result(published.result())

        published.add_done_callback(end)


def threads_of(gather: int | str) -> int:
    """Return the images that are published at the same time: enough to fill one message while another is sent."""
    return min(_MOST_THREADS, max(_THREADS, 2 * images_of(gather)))


def images_of(gather: int | str) -> int:
    """Return the most images in a message. `gather`: a number, or AUTO."""
    return AUTO_IMAGES if gather == AUTO else min(int(gather), MAX_LINES)
