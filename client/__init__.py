"""The command line program `predictions`. The version of the whole project is here, and only here."""

__version__ = "1.0.0"
