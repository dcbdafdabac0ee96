"""Inference engines (LiteRT, SavedModel, ONNX) and what surrounds them: checks of model files, micro-batching."""
