"""Trains and exports the Fashion-MNIST network that ships with the project."""
