"""The errors of images, in sentences for their senders, and of artifacts. Standard library only.

InvalidImage            the bytes are not an image that can be read
├── ImageTooLarge       it may be one, but over a limit of bytes, pixels or scans
└── UnsupportedFormat   it is one, of a format that is not on the list
ArtifactError           an artifact cannot be used
├── FilesUnavailable    its files cannot be had here now
└── RegistryError       the registry, or a model, version or alias of it, cannot be used
    └── NotRegistered   the registry has no such model, version or alias
"""

from __future__ import annotations


class InvalidImage(ValueError):
    """The bytes are not an image that can be read. `code`: the code of the error response."""

    code = "invalid_image"


class ImageTooLarge(InvalidImage):
    """The image is over a limit of bytes, pixels or scans."""

    code = "image_too_large"


class UnsupportedFormat(InvalidImage):
    """The image is of a format that is not on the list."""

    code = "unsupported_format"


class ArtifactError(Exception):
    """An artifact cannot be used; the message names the file and what is wrong with it."""


class FilesUnavailable(ArtifactError):
    """The files of an artifact cannot be had now: disk space or permissions are missing, and the files may be good."""


class RegistryError(ArtifactError):
    """The registry cannot do what is asked; the message names the model, version or alias and what is allowed."""


class NotRegistered(RegistryError):
    """The registry has no such model, version or alias, or only a part of it; the message names those that it has."""
