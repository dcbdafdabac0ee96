# A deployment to try things in: make deploy PROJECT=some-project TFVARS=infra/examples/dev.tfvars
# Anything here may also stand in prod.tfvars; ../README.md has every variable.
prefix              = "dev" # beside others in the same project
max_instances       = 2     # what bounds the bill
bigquery            = false
deletion_protection = false

settings = {
  LOG_LEVEL = "DEBUG"
}

labels = {
  environment = "dev"
}

# clients = ["user:someone@example.com"]
