"""Errors of the training commands. Each message is a sentence for the user of the command.

TrainingError
├── ConfigError       a key is unknown, missing or out of range: names the key, the value and the allowed values
├── DatasetError      the data is missing, damaged, or cannot be downloaded
├── RunError          a run cannot start or continue in its folder
├── SourceError       an imported model, its weights or its labels cannot be used
├── MeasureError      a measurement failed
├── ReportError       a report cannot be written
└── ExportError       the artifact cannot be made, or differs from the trained network
"""

from __future__ import annotations


class TrainingError(Exception):
    """A command failed; the message gives the reason."""


class ConfigError(TrainingError):
    """A key is unknown, missing or out of range."""


class DatasetError(TrainingError):
    """The data is missing, damaged, or cannot be downloaded."""


class RunError(TrainingError):
    """A run cannot start or continue in its folder."""


class SourceError(TrainingError):
    """An imported model, its weights or its labels cannot be used."""


class MeasureError(TrainingError):
    """A measurement failed."""


class ReportError(TrainingError):
    """A report cannot be written."""


class ExportError(TrainingError):
    """The artifact cannot be made, or differs from the trained network."""
