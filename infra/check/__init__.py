"""Checks the Terraform files without a cloud: `python -m infra.check`.

The real terraform binary runs against a fake of Google's provider, which knows the provider's schema and nothing else.
"""
