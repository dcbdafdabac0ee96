"""The images that the client sends: files, members of zip archives, and objects that are in a bucket already."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from client.archive import entry_size, read_entry
from functions.messages.contract import ObjectRef


class Image(Protocol):
    """An image to send. It is hashable, and reads nothing until `size`, `read` or `open` is called."""

    @property
    def name(self) -> str:
        """Its name in buckets and among explanations, with `/`: below the folder or archive that was given."""
        ...

    @property
    def request_id(self) -> str:
        """The id of its request; "" lets the transport make one."""
        ...

    @property
    def location(self) -> str:
        """Where it is, as results files name it: a path, a path in an archive, or a gs:// address."""
        ...

    @property
    def filename(self) -> str:
        """Its name without folders."""
        ...

    @property
    def reference(self) -> ObjectRef | None:
        """The object that it is, None when its bytes must be sent."""
        ...

    def size(self) -> int:
        """Return its size in bytes. Raises OSError."""
        ...

    def read(self) -> bytes:
        """Return its bytes. Raises OSError."""
        ...

    def open(self) -> BinaryIO:
        """Open it for reading. Raises OSError."""
        ...


@dataclass(frozen=True, slots=True)
class ImageFile:
    """A file."""

    path: Path
    name: str
    request_id: str = ""

    @property
    def location(self) -> str:
        return str(self.path)

    @property
    def filename(self) -> str:
        return self.path.name

    @property
    def reference(self) -> None:
        return None

    def size(self) -> int:
        return self.path.stat().st_size

    def read(self) -> bytes:
        return self.path.read_bytes()

    def open(self) -> BinaryIO:
        return self.path.open("rb")


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """A member of a zip archive. Its bytes are read from the archive; nothing is extracted to disk."""

    archive: Path
    member: str
    name: str
    request_id: str = ""

    @property
    def location(self) -> str:
        return f"{self.archive}/{self.member}"

    @property
    def filename(self) -> str:
        return self.member.replace("\\", "/").rpartition("/")[2]

    @property
    def reference(self) -> None:
        return None

    def size(self) -> int:
        return entry_size(self.archive, self.member)

    def read(self) -> bytes:
        return read_entry(self.archive, self.member)

    def open(self) -> BinaryIO:
        return io.BytesIO(self.read())


@dataclass(frozen=True, slots=True)
class StoredImage:
    """An object in a bucket. Only a reference to it is sent; the client never downloads it."""

    reference: ObjectRef
    name: str
    request_id: str = ""

    @property
    def location(self) -> str:
        return f"gs://{self.reference.bucket}/{self.reference.name}"

    @property
    def filename(self) -> str:
        return self.reference.name.rpartition("/")[2]

    def size(self) -> int:
        raise self._refusal()

    def read(self) -> bytes:
        raise self._refusal()

    def open(self) -> BinaryIO:
        raise self._refusal()

    def _refusal(self) -> OSError:
        return OSError(None, "it is in a bucket, and only publish sends references to objects")


AnyImage = ImageFile | ArchivedImage | StoredImage
