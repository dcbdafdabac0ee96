# The HTTP endpoint: a separate service, off by default, which only named members may call.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id       = "some-project"
  image            = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
  endpoint_callers = { someone = "user:someone@example.com" }
}

run "closed" {
  assert {
    condition     = !contains(keys(google_cloud_run_v2_service.this), "endpoint") && length(google_cloud_run_v2_service_iam_member.endpoint) == 0 && length(google_storage_bucket_iam_member.endpoint) == 0 && output.endpoint_url == null
    error_message = "The endpoint is off by default."
  }
}

run "internal" {
  variables {
    http_endpoint = "internal"
    settings      = { ALLOWED_BUCKETS = "photos", MAX_BATCH_SIZE = "4" }
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["HTTP_ENDPOINT"] == "off"
    error_message = "The push worker has no HTTP endpoint."
  }
  assert {
    condition = { for env in google_cloud_run_v2_service.this["endpoint"].template[0].containers[0].env : env.name => env.value } == {
      GOOGLE_CLOUD_PROJECT = "some-project"
      HTTP_ENDPOINT        = "on"
      MAX_BATCH_SIZE       = "4"
      PUSH_AUDIENCE        = "prediction-endpoint"
      PUSH_SERVICE_ACCOUNT = google_service_account.this["invoker"].email
      RESPONSE_TOPIC       = google_pubsub_topic.this["res_predict"].id
      THREADS              = "80"
    }
    error_message = "The endpoint accepts posted images: no pushes, and none from buckets."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["endpoint"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && google_cloud_run_v2_service.this["endpoint"].invoker_iam_disabled == false
    error_message = "`internal` accepts only permitted callers inside the project."
  }
  assert {
    condition     = [for grant in google_cloud_run_v2_service_iam_member.endpoint : grant.member] == ["user:someone@example.com"] && alltrue([for grant in google_cloud_run_v2_service_iam_member.endpoint : grant.name == "prediction-endpoint" && grant.role == "roles/run.invoker"])
    error_message = "Named members may call the endpoint, but not the worker."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["endpoint"].template[0].service_account == google_service_account.this["endpoint"].email && google_storage_bucket_iam_member.endpoint[0].bucket == "some-project-models" && google_storage_bucket_iam_member.endpoint[0].role == "roles/storage.objectViewer"
    error_message = "The endpoint has its own account, which can read models but no images."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker[0].name == "prediction-worker"
    error_message = "Pub/Sub may not call the endpoint."
  }
}

run "anywhere_beside_a_pool" {
  variables {
    http_endpoint  = "anywhere"
    compute        = "worker"
    response_store = true
  }
  assert {
    condition     = keys(google_cloud_run_v2_service.this) == ["endpoint"] && google_cloud_run_v2_service.this["endpoint"].ingress == "INGRESS_TRAFFIC_ALL" && google_cloud_run_v2_service.this["endpoint"].invoker_iam_disabled == false
    error_message = "`anywhere` accepts only permitted callers, from anywhere."
  }
  assert {
    condition     = toset([for grant in google_storage_bucket_iam_member.response_store : grant.member]) == toset([google_service_account.this["endpoint"].member, google_service_account.this["worker"].member])
    error_message = "The endpoint's responses are in the response store too."
  }
}

run "anywhere_beside_a_push_worker" {
  variables {
    http_endpoint = "anywhere"
  }
  assert {
    condition     = { for name, service in google_cloud_run_v2_service.this : name => service.ingress } == { endpoint = "INGRESS_TRAFFIC_ALL", worker = "INGRESS_TRAFFIC_INTERNAL_ONLY" }
    error_message = "`anywhere` opens the endpoint and never the worker."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker[0].name == "prediction-worker" && google_cloud_run_v2_service_iam_member.invoker[0].member == google_service_account.this["invoker"].member && alltrue([for grant in google_cloud_run_v2_service_iam_member.endpoint : grant.name == "prediction-endpoint"]) && alltrue([for service in google_cloud_run_v2_service.this : service.invoker_iam_disabled == false])
    error_message = "With `anywhere`, nobody but the invoker may call the worker."
  }
}

run "anywhere_beside_a_function" {
  variables {
    http_endpoint   = "anywhere"
    compute         = "function"
    function_source = "topology.yaml"
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" && google_cloud_run_v2_service_iam_member.invoker[0].name == "prediction-function" && alltrue([for grant in google_cloud_run_v2_service_iam_member.endpoint : grant.name == "prediction-endpoint"])
    error_message = "`anywhere` never opens the function."
  }
}

run "refuses_a_word_for_the_endpoint" {
  command = plan
  variables {
    http_endpoint = "open"
  }
  expect_failures = [var.http_endpoint]
}

run "refuses_the_public_at_the_endpoint" {
  command = plan
  variables {
    http_endpoint    = "anywhere"
    endpoint_callers = { someone = "allUsers" }
  }
  expect_failures = [var.endpoint_callers]
}
