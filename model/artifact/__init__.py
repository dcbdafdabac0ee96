"""Reads, verifies and loads an artifact: the folder with an exported model."""

from pathlib import Path

SHIPPED = Path(__file__).resolve().parents[1] / "artifacts" / "fashion-mnist"
"""The artifact that is served and pushed where no other one is named."""
