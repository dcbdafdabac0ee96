"""From a decoded request to its response."""
