# Policies of an organisation: private build pools, Binary Authorization, outgoing traffic, and ids of old projects.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "nothing_unless_given" {
  variables {
    nightly = { bucket = "photos" }
  }
  assert {
    condition     = length(google_cloud_run_v2_service.this["worker"].binary_authorization) == 0 && length(google_cloud_run_v2_job.nightly[0].binary_authorization) == 0
    error_message = "Without a policy, nothing is checked."
  }
  assert {
    condition     = !contains(keys(google_project_service.this), "binaryauthorization")
    error_message = "The API is enabled only when it is used."
  }
}

run "default_policy_for_services_and_jobs" {
  variables {
    binary_authorization = "default"
    http_endpoint        = "internal"
    nightly              = { bucket = "photos" }
  }
  assert {
    condition = alltrue([
      for checked in concat(values(google_cloud_run_v2_service.this)[*].binary_authorization, [google_cloud_run_v2_job.nightly[0].binary_authorization]) :
      length(checked) == 1 && alltrue([for policy in checked : policy.use_default == true && policy.policy == null])
    ]) && length(google_cloud_run_v2_service.this) == 2
    error_message = "The project's policy checks every image that Cloud Run starts."
  }
  assert {
    condition     = contains(keys(google_project_service.this), "binaryauthorization")
    error_message = "Binary Authorization needs its API."
  }
}

run "named_policy_for_a_pool" {
  variables {
    binary_authorization = "projects/policies/platforms/cloudRun/policies/strict"
    compute              = "worker"
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].binary_authorization[0].policy == "projects/policies/platforms/cloudRun/policies/strict" && google_cloud_run_v2_worker_pool.worker[0].binary_authorization[0].use_default == null
    error_message = "A policy of another project can be named."
  }
}

run "function" {
  variables {
    compute              = "function"
    function_source      = "topology.yaml"
    binary_authorization = "default"
    build_pool           = "projects/builds/locations/europe-west1/workerPools/private"
    vpc_connector        = "projects/network/locations/europe-west1/connectors/egress"
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].build_config[0].worker_pool == "projects/builds/locations/europe-west1/workerPools/private"
    error_message = "The function is built in the private pool."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].vpc_connector == "projects/network/locations/europe-west1/connectors/egress" && google_cloudfunctions2_function.worker[0].service_config[0].vpc_connector_egress_settings == "ALL_TRAFFIC"
    error_message = "All outgoing traffic of the function uses the connector."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].binary_authorization_policy == "default"
    error_message = "The policy checks the function's image."
  }
}

run "project_of_a_domain" {
  variables {
    project_id     = "example.com:shop-1"
    prefix         = "dev"
    response_store = true
  }
  assert {
    condition     = google_storage_bucket.this["uploads"].name == "example-com-shop-1-dev-uploads" && google_storage_bucket.response_store[0].name == "example-com-shop-1-dev-response-store"
    error_message = "A bucket's name has neither a colon nor a dot."
  }
  assert {
    condition     = google_pubsub_topic.this["req_predict"].project == "example.com:shop-1"
    error_message = "Resources are in the project itself."
  }
}

run "project_of_a_domain_has_its_registry_in_a_folder" {
  command = apply
  variables {
    project_id = "example.com:shop-1"
  }
  assert {
    condition     = startswith(output.images, "europe-west1-docker.pkg.dev/example.com/shop-1/")
    error_message = "The domain is a folder of the registry."
  }
}

run "wrong_names_are_refused" {
  command = plan
  variables {
    project_id           = "example:shop-1"
    build_pool           = "private"
    binary_authorization = "strict"
    vpc_connector        = "projects/network/locations/europe-west1/connectors/egress"
  }
  expect_failures = [var.project_id, var.build_pool, var.binary_authorization, var.vpc_connector]
}

run "places_outside_the_region_are_refused" {
  command = plan
  variables {
    compute         = "function"
    function_source = "topology.yaml"
    build_pool      = "projects/builds/locations/us-east1/workerPools/private"
    vpc_connector   = "projects/network/locations/us-east1/connectors/egress"
  }
  expect_failures = [var.build_pool, var.vpc_connector]
}
