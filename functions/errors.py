"""Which failures are the sender's and which are ours.

permanent   answered with an error response, then acked; a closed list
  InvalidRequest      an attribute or the body breaks the contract
  UnknownModel        the request names a model that this worker does not serve
  ImageNotFound       the reference names an object that is not there
  Expired             expires_at has passed
  InvalidImage        not an image that can be read         (model.errors)
  ImageTooLarge       over a limit of bytes, pixels, scans   (model.errors)
  UnsupportedFormat   an image of a kind not on the list     (model.errors)
transient   everything else: nacked, retried, at last dead-lettered and announced as `unavailable`
"""

from __future__ import annotations

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat


class InvalidRequest(ValueError):
    """The sender broke the contract; sending it again will not help."""


class UnknownModel(InvalidRequest):
    """The request names a model that this worker does not serve."""


class ImageNotFound(Exception):
    """The request names an object that is not in the bucket."""


class Expired(Exception):
    """The request was not answered before its expires_at."""


UNAVAILABLE = "unavailable"

_CODES: dict[type[Exception], str] = {
    InvalidRequest: "invalid_request",
    UnknownModel: "unknown_model",
    ImageNotFound: "image_not_found",
    Expired: "expired",
    **{kind: kind.code for kind in (InvalidImage, ImageTooLarge, UnsupportedFormat)},
}
PERMANENT = tuple(_CODES)

HTTP_STATUS = {
    "invalid_request": 400,
    "invalid_image": 400,
    "unknown_model": 404,
    "image_not_found": 404,
    "expired": 410,
    "image_too_large": 413,
    "unsupported_format": 415,
    UNAVAILABLE: 503,
}
"""The HTTP endpoint's status for each code."""


def code_of(exc: Exception) -> str:
    """The code a sender may see; nearest entry of the class's ancestry, `unavailable` for what is not on the list."""
    return next((_CODES[cls] for cls in type(exc).__mro__ if cls in _CODES), UNAVAILABLE)
