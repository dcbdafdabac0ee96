"""gcloud commands as text, quoted for a shell. A person runs them; the doctor changes nothing."""

from __future__ import annotations

import shlex

_ROLES = {
    "pubsub.topics.get": "roles/pubsub.viewer",
    "pubsub.topics.getIamPolicy": "roles/iam.securityReviewer",
    "pubsub.subscriptions.get": "roles/pubsub.viewer",
    "pubsub.subscriptions.getIamPolicy": "roles/iam.securityReviewer",
    "resourcemanager.projects.get": "roles/browser",
    "storage.buckets.get": "roles/storage.bucketViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.get": "roles/storage.objectViewer",
}
"""A role that holds each permission, and as few others as possible."""


def gcloud(project: str, *words: str) -> str:
    """Return a gcloud command for a project."""
    return shlex.join(["gcloud", *words, f"--project={project}"])


def grant_caller(project: str, permission: str) -> str:
    """Return the command that grants gcloud's current account a role with the permission."""
    member = '--member="user:$(gcloud config get account)"'
    return f"gcloud projects add-iam-policy-binding {shlex.quote(project)} {member} --role={_ROLES[permission]}"
