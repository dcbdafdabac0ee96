"""Networks of the library transformers, built in Keras from their configuration and their weights."""
