"""The Terraform files checked without a cloud: `python -m infra.check`.

The real terraform runs against a stand-in for Google's provider that knows its schema and nothing else.
"""
