"""Names that contain a project's id. The id of an old company's project also has a domain: `example.com:shop`."""

from __future__ import annotations


def bucket_name(project: str, name: str) -> str:
    """A bucket's name. It takes no colon, and a dot only from the owner of the domain: both become hyphens."""
    return f"{project.replace(':', '-').replace('.', '-')}-{name}"


def service_account(name: str, project: str) -> str:
    """The email of a service account; the domain follows the project's name."""
    domain, _, own = project.rpartition(":")
    return f"{name}@{'.'.join(filter(None, (own, domain)))}.iam.gserviceaccount.com"


def registry(region: str, project: str) -> str:
    """The address of a project's image repositories; the domain is a folder."""
    return f"{region}-docker.pkg.dev/{project.replace(':', '/')}"
