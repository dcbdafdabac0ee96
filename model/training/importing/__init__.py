"""From files of other tools to an artifact."""
