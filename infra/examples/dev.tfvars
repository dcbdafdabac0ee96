# A deployment for experiments: make deploy PROJECT=some-project TFVARS=infra/examples/dev.tfvars
# prod.tfvars may contain the same variables; ../README.md lists all.
prefix              = "dev" # one of several deployments in the project
max_instances       = 2     # limits the cost
bigquery            = false
deletion_protection = false

settings = {
  LOG_LEVEL = "DEBUG"
}

labels = {
  environment = "dev"
}

# clients = { someone = "user:someone@example.com" }
