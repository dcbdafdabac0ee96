"""The digest of an artifact can be computed with sha256sum."""

from __future__ import annotations

import subprocess

from model.artifact.manifest import MANIFEST, parse_manifest
from tests.unit.test_artifact import LISTED, SHIPPED


def test_the_digest_is_over_sorted_lines_of_hash_and_path() -> None:
    manifest = parse_manifest((SHIPPED / MANIFEST).read_bytes())
    listing = subprocess.run(["sha256sum", *LISTED], cwd=SHIPPED, capture_output=True, check=True).stdout
    hashed = subprocess.run(["sha256sum"], input=listing, capture_output=True, check=True).stdout.decode().split()[0]
    assert manifest.digest == f"sha256:{hashed}"
