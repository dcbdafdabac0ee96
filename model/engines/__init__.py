"""Inference engines (LiteRT, SavedModel) and what surrounds them: checks of model files, micro-batching."""
