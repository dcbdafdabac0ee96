"""The SQL about single images of a job."""

from __future__ import annotations

INSERT = (
    "INSERT INTO images (job, number, kind, place, location, name, given_id, key) VALUES (?, ?, ?, ?, ?, ?, ?, ?) "
    "ON CONFLICT (job, place, given_id) DO NOTHING"
)
IMAGE = "kind, place, location, name, key"

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
