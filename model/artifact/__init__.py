"""An exported model as a folder: its files, and what they must hold."""
