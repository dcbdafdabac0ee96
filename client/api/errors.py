"""The exception of the Python API."""

from __future__ import annotations


class PredictionsError(Exception):
    """No image can be predicted, whatever the image is: nothing answers, a name is wrong, or the client is closed.

    The message is the line that the command `predictions publish` prints. An image that fails is no exception: its
    `Result` holds the error.
    """
