"""The doctor: checks a deployment with the caller's own permissions. Each kind of check is a module in checks/."""
