"""The permanent errors, which a sender causes, and their codes. Every other error is transient.

permanent   answered with an error response, then acked; a closed list
  InvalidRequest      an attribute or the body violates the contract, or the worker cannot read its object
  UnknownModel        the request names a model that this worker does not serve
  ImageNotFound       the reference names an object that does not exist
  Expired             expires_at has passed
  InvalidImage        the bytes are no readable image, or not of the object's Content-Encoding (model.errors)
  ImageTooLarge       over a limit on bytes, pixels or scans (model.errors)
  UnsupportedFormat   the format is not supported            (model.errors)
transient   all others: nacked and redelivered; a dead letter gets a response with the code `unavailable`

docs/errors.md has the decision on each exception of storage, decoding and scoring. gcp/object_store.py turns those of
Cloud Storage that a sender causes into classes of this list.
"""

from __future__ import annotations

from model.errors import ImageTooLarge, InvalidImage, UnsupportedFormat


class InvalidRequest(ValueError):
    """The request violates the contract; a retry of the same request fails again."""


class UnknownModel(InvalidRequest):
    """The request names a model that this worker does not serve."""


class ImageNotFound(Exception):
    """The request names an object that is not in the bucket."""


class Expired(Exception):
    """The request's expires_at passed before the response."""


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
"""The HTTP status of each code, at the HTTP endpoint."""


def code_of(exc: Exception) -> str:
    """Return the code of the nearest listed class in the exception's ancestry, or `unavailable`."""
    return next((_CODES[cls] for cls in type(exc).__mro__ if cls in _CODES), UNAVAILABLE)
