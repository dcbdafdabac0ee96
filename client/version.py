"""The version of the project. Its only place is pyproject.toml."""

from __future__ import annotations

from pathlib import Path


def version() -> str:
    """Return the version: from pyproject.toml in a checkout, from the package's metadata where it is installed."""
    project = Path(__file__).resolve().parents[1] / "pyproject.toml"
    if project.is_file():
        import tomllib

        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
    from importlib import metadata

    return metadata.version("image-prediction-pipeline")
