"""Training, export, import and evaluation of models. It needs TensorFlow and is not part of the worker."""
