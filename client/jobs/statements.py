"""The SQL about single images of a job."""

from __future__ import annotations

INSERT = (
    "INSERT INTO images (job, number, kind, place, location, name, given_id, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job, place, given_id) DO NOTHING"
)
IMAGE = "kind, place, location, name, key"

NUMBER = "SELECT number FROM images WHERE job = ? AND key = ?"

EARLY = (
    "INSERT INTO early (record, rank, error_code, answered_at, job, request_id) VALUES (?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job, request_id) DO UPDATE SET record = excluded.record, rank = excluded.rank, "
    "error_code = excluded.error_code, answered_at = excluded.answered_at WHERE rank < excluded.rank"
)
"""A response whose request is not known yet: the request id of an upload is known only after it."""

FIND = (
    "SELECT number FROM images WHERE job = ? AND request_id = ? "
    "UNION SELECT number FROM images WHERE job = ? AND key = ?"
)
"""Two searches, each in an index; one with OR would read all images of the job."""

ANSWER = (
    "UPDATE images SET request_id = ?, record = ?, rank = ?, error_code = ?, answered_at = ?, state = 'sent' "
    "WHERE job = ? AND number = ? AND rank < ?"
)
"""An answered image was sent, although the process may have ended before it recorded that."""

AGAIN = (
    "UPDATE images SET state = 'waiting', problem = '', rank = 0, error_code = '', record = NULL, sent_at = NULL, "
    "answered_at = NULL WHERE job = ? AND number = ? AND (error_code = ? OR (rank = 0 AND state = 'failed'))"
)
"""An image whose error may pass, which then has no response, or one that could not be sent."""


def escaped(text: str) -> str:
    """Escape the characters that LIKE gives a meaning."""
    return text.replace("!", "!!").replace("%", "!%").replace("_", "!_")
