"""A small Cloud Storage server: gcp-storage-emulator, with preconditions, generations and notifications."""
