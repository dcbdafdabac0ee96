"""The local twin, the deployment, and the checks of the Terraform configuration."""
