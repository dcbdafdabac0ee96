# A production deployment: make deploy PROJECT=some-project TFVARS=infra/examples/prod.tfvars
# Sizes for a load of yours: python -m client plan --images-per-day N --tfvars sizes.tfvars, and TFVARS=THIS,sizes.tfvars
min_instances  = 1 # billed all day, so that no image waits for a cold start
max_instances  = 20
response_store = true # all copies of a response are equal; one write to Cloud Storage per request
bigquery_days  = 365
stay_in_region = true

labels = {
  environment = "prod"
}

# clients  = { shop = "group:shop@example.com" }
# analysts = { analysts = "group:analysts@example.com" }
