"""What can be wrong with an image, in words for its sender, and with an artifact. Standard library only.

InvalidImage            the bytes are not an image that can be read
├── ImageTooLarge       it may be one, but over a limit of bytes, pixels or scans
└── UnsupportedFormat   it is one, of a kind that is not on the list
Withdrawn               nothing is wrong with it
ArtifactError           an artifact cannot be used
"""

from __future__ import annotations


class InvalidImage(ValueError):
    """The bytes are not an image that can be read. `code` is what its sender is told, beside the sentence."""

    code = "invalid_image"


class ImageTooLarge(InvalidImage):
    """The image is over a limit of bytes, pixels or scans."""

    code = "image_too_large"


class UnsupportedFormat(InvalidImage):
    """The image is of a format that is not on the list."""

    code = "unsupported_format"


class Withdrawn(Exception):
    """An image was not scored, because whoever scores is stopping. Nothing is wrong with it."""


class ArtifactError(Exception):
    """An artifact cannot be used; the message names the file and what is wrong with it."""
