"""Build the documentation as a site in build/site: `make docs`.

Every page keeps its path in the repository. This script copies the pages and every file that they link to into
build/docs, so the same links work in the repository and in the site. MkDocs runs with --strict: a link to a missing
page, file or heading fails the build.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
STAGE = ROOT / "build" / "docs"
PAGES = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "docs/**/*.md",
    "infra/*.md",
    "infra/local/*.md",
    "model/artifacts/fashion-mnist/MODEL_CARD.md",
)
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
"""The path of a Markdown link or image that leads to a file."""


def main() -> int:
    """Stage the pages and build the site; returns the exit code of MkDocs."""
    shutil.rmtree(STAGE, ignore_errors=True)
    pages = [page for pattern in PAGES for page in sorted(ROOT.glob(pattern))]
    copy(ROOT / "docs" / "site.css")
    missing = [error for page in pages for error in stage(page)]
    if missing:
        print("\n".join(missing), file=sys.stderr)
        return 1
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-f", str(ROOT / "docs" / "mkdocs.yml")]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if not done.returncode:
        print(f"{len(pages)} pages: {(ROOT / 'build' / 'site' / 'index.html').relative_to(ROOT)}")
    return done.returncode


def stage(page: Path) -> list[str]:
    """Copy a page and the files that it links to; returns a sentence for each link that leads to no file."""
    copy(page)
    errors = []
    for link in LINK.findall(page.read_text()):
        target = (page.parent / link).resolve()
        if not target.is_relative_to(ROOT) or not target.is_file():
            errors.append(f"{page.relative_to(ROOT)}: the link {link} leads to no file of the repository")
        else:
            copy(target)
    return errors


def copy(file: Path) -> None:
    """Copy a file of the repository to the same path below the stage."""
    staged = STAGE / file.relative_to(ROOT)
    staged.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, staged)


if __name__ == "__main__":
    sys.exit(main())
