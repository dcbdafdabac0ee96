"""What can stop a command of this room. Each message is a sentence for the person who typed the command.

TrainingError
├── ConfigError       a key is unknown, missing or out of range: names the key, the value and what is allowed
├── DatasetError      the data is missing, damaged, or cannot be downloaded
├── RunError          a run cannot begin or go on in its folder
├── SourceError       a model, weights or labels from elsewhere cannot be used
├── MeasureError      something could not be measured
├── ReportError       a report cannot be written
└── ExportError       the artifact cannot be made, or is not the network that was trained
"""

from __future__ import annotations


class TrainingError(Exception):
    """A command cannot be done, and why."""


class ConfigError(TrainingError):
    """A key is unknown, missing or out of range."""


class DatasetError(TrainingError):
    """The data is missing, damaged, or cannot be downloaded."""


class RunError(TrainingError):
    """A run cannot begin or go on in its folder."""


class SourceError(TrainingError):
    """A model, weights or labels from elsewhere cannot be used."""


class MeasureError(TrainingError):
    """Something could not be measured."""


class ReportError(TrainingError):
    """A report cannot be written."""


class ExportError(TrainingError):
    """The artifact cannot be made, or is not the network that was trained."""
