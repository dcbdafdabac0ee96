"""Datasets: how images and labels are read."""
