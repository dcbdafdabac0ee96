"""The images of one command, one after the other: from paths, lists, archives and bucket prefixes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from client.image_files import UNUSABLE, Found, find
from client.images import AnyImage
from client.sources.archives import image_in_archive, images_of_archive, is_archive
from client.sources.entry import Entry
from client.sources.lists import read_lists
from client.sources.objects import SCHEME, ListObjects, bucket_and_prefix, images_of_prefix, why_no_object
from client.sources.selection import REPEATED, Choice, Selection
from client.text_map import TextMap
from client.unique_names import unique_names
from model.text import shortened


class AnySource(Protocol):
    """What a job's images come from; see Source."""

    problems: list[str]

    @property
    def is_listing(self) -> bool:
        """Whether the number of images is not known before the last one is read."""
        ...

    @property
    def is_streamed(self) -> bool:
        """Whether an image can be sent only until the next one is read."""
        ...

    @property
    def left_out(self) -> Counter[str]:
        """The counts of files that are left out."""
        ...

    def images(self) -> Iterator[AnyImage]:
        """Yield each image once. May be called once."""
        ...


class Source:
    """The images that a selection names. Construction reads the lists, stdin to its end. Raises UsageError.

    While `images` runs it fills `problems` and `left_out`. `problems`: what cannot be sent, in one line each, escaped.
    `left_out`: files that are not sent because of their names, counted as `image_folder.counted` shows them.

    In memory are the text of the lists, the names of the files in the present folder, about 80 bytes each, and nothing
    else of each image: what was yielded before is noted in a temporary file (see TextMap).
    """

    is_streamed = False

    def __init__(self, selection: Selection, list_objects: ListObjects, *, prefix: str = "") -> None:
        selection.check()
        self._selection, self._list_objects, self._prefix = selection, list_objects, prefix
        addresses = [path for path in selection.paths if path.startswith(SCHEME)]
        for address in addresses:
            bucket_and_prefix(address)
        self.is_listing = bool(addresses)
        """Whether images come from the listing of a bucket, whose length is not known before its end."""
        self.problems: list[str] = []
        self._choice = Choice(selection)
        self._lists = read_lists(selection)

    @property
    def left_out(self) -> Counter[str]:
        """The counts of files that are left out."""
        return self._choice.left_out

    def images(self) -> Iterator[AnyImage]:
        """Yield each image once, with its own name. May be called once.

        Raises UsageError or SendError when a bucket cannot be listed; images may have been yielded before.
        """
        return unique_names(self._distinct(), self._prefix)

    def _distinct(self) -> Iterator[AnyImage]:
        # A single listing names no object twice, and may be very long.
        alone = self.is_listing and len(self._selection.paths) == 1 and not self._lists
        with TextMap() as seen:
            for image in self._all():
                if alone or seen.add(_identity(image)):
                    yield image
                else:
                    self.left_out[REPEATED] += 1

    def _all(self) -> Iterator[AnyImage]:
        for path in self._selection.paths:
            yielded, problems = False, len(self.problems)
            for image in self._of_path(path):
                yielded = True
                yield image
            if not yielded and len(self.problems) == problems:
                self._add_problem(why_no_object(path) if path.startswith(SCHEME) else f"no image file is at {path}")
        for each in self._lists:
            for entry in each.entries():
                yield from self._of_entry(entry)
            for warning in each.warnings:
                self._add_problem(warning)

    def _of_path(self, path: str) -> Iterator[AnyImage]:
        if path.startswith(SCHEME):
            yield from images_of_prefix(path, self._list_objects, self._choice)
        elif archived := image_in_archive(path):
            yield archived
        else:
            for found in find(path):
                yield from self._of_file(found)

    def _of_file(self, found: Found) -> Iterator[AnyImage]:
        image = found.image
        if found.left_out in UNUSABLE:
            self._add_problem(f"{image.location} {UNUSABLE[found.left_out]}")
        elif not found.left_out and is_archive(image.path):
            yield from images_of_archive(image.path, self._choice, self._add_problem)
        elif found.named or self._choice.takes(image.name, found.left_out):
            yield image

    def _of_entry(self, entry: Entry) -> Iterator[AnyImage]:
        try:
            yield entry.image()
        except ValueError as exc:
            self._add_problem(f"{entry.place}: {exc}")

    def _add_problem(self, text: str) -> None:
        self.problems.append(shortened(text))


def _identity(image: AnyImage) -> str:
    """Return the text that equal images of a command have in common: where they are, and the id of the request."""
    return json.dumps([image.reference.uri if image.reference else image.location, image.request_id])
