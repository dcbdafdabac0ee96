"""Commands for people's hands, quoted for a shell."""

from __future__ import annotations

import shlex

_READERS = {
    "pubsub.topics.get": "roles/pubsub.viewer",
    "pubsub.topics.getIamPolicy": "roles/iam.securityReviewer",
    "pubsub.subscriptions.get": "roles/pubsub.viewer",
    "pubsub.subscriptions.getIamPolicy": "roles/iam.securityReviewer",
    "resourcemanager.projects.get": "roles/browser",
    "storage.buckets.get": "roles/storage.bucketViewer",
    "storage.objects.list": "roles/storage.objectViewer",
    "storage.objects.get": "roles/storage.objectViewer",
}


def gcloud(project: str, *words: str) -> str:
    """A gcloud command on a project."""
    return shlex.join(["gcloud", *words, f"--project={project}"])


def allow_caller(project: str, permission: str) -> str:
    """Give the person whom gcloud knows the role that lets them look."""
    who = '--member="user:$(gcloud config get account)"'
    return f"gcloud projects add-iam-policy-binding {shlex.quote(project)} {who} --role={_READERS[permission]}"
