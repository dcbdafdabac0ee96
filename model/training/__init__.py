"""Datasets, training, export and evaluation. Needs TensorFlow; never shipped to the worker."""
