"""The Python API: clients that send images and return typed results, with and without asyncio, and for pandas."""
