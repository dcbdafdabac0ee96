# Properties of the project: enabled APIs, locations, retention times, costs and outputs.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "interfaces" {
  variables {
    bigquery = false
  }
  assert {
    condition     = length(setsubtract(["artifactregistry", "cloudresourcemanager", "iam", "logging", "pubsub", "run", "storage"], keys(google_project_service.this))) == 0 && length(setintersection(["bigquery", "billingbudgets", "cloudfunctions", "cloudscheduler", "eventarc"], keys(google_project_service.this))) == 0
    error_message = "Exactly the APIs that the enabled parts use are enabled."
  }
  assert {
    condition     = alltrue([for service in google_project_service.this : service.disable_on_destroy == false])
    error_message = "APIs are never disabled, because others in the project may use them."
  }
}

run "interfaces_of_everything" {
  variables {
    compute         = "function"
    function_source = "topology.yaml"
    nightly         = { bucket = "photos" }
  }
  assert {
    condition     = length(setsubtract(["bigquery", "cloudbuild", "cloudfunctions", "cloudscheduler"], keys(google_project_service.this))) == 0
    error_message = "Each option enables the APIs that it uses."
  }
}

run "places" {
  variables {
    region         = "europe-north1"
    http_endpoint  = "internal"
    response_store = true
    nightly        = { bucket = "photos" }
  }
  assert {
    condition = toset(concat(
      values(google_storage_bucket.this)[*].location,
      google_storage_bucket.response_store[*].location,
      values(google_cloud_run_v2_service.this)[*].location,
      google_cloud_run_v2_job.nightly[*].location,
      google_cloud_scheduler_job.nightly[*].region,
      google_bigquery_dataset.this[*].location,
      [google_artifact_registry_repository.images.location],
    )) == toset(["europe-north1"])
    error_message = "All resources are in the given region."
  }
}

run "time" {
  assert {
    condition     = { for name, topic in google_pubsub_topic.this : name => topic.message_retention_duration if topic.message_retention_duration != null } == { req_predict = "86400s", res_predict = "86400s", req_train = "86400s" }
    error_message = "Requests and responses can be replayed for a day."
  }
  assert {
    condition     = alltrue([for subscription in concat(values(google_pubsub_subscription.this), google_pubsub_subscription.bigquery, google_pubsub_subscription.dead_bigquery) : subscription.message_retention_duration == "604800s"])
    error_message = "Waiting messages are kept for a week."
  }
  assert {
    condition     = one(google_storage_bucket.this["uploads"].lifecycle_rule[0].condition).age == 30
    error_message = "Uploaded images are kept for a month."
  }
  assert {
    condition     = one(google_pubsub_subscription.bigquery[0].retry_policy).minimum_backoff == "10s" && one(google_pubsub_subscription.bigquery[0].dead_letter_policy).max_delivery_attempts == 20
    error_message = "Short outages of BigQuery make no dead letters."
  }
}

run "cost" {
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].cpu_idle && google_cloud_run_v2_service.this["worker"].template[0].scaling[0].min_instance_count == 0 && google_cloud_run_v2_service.this["worker"].template[0].scaling[0].max_instance_count == 10
    error_message = "There is no cost without requests, and the number of instances is limited."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].startup_cpu_boost
    error_message = "A start gets a CPU boost."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].scaling[0].min_instance_count == 0
    error_message = "The scaling of the service is declared with the API's own values, so that no plan removes it."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].startup_probe[0].period_seconds * google_cloud_run_v2_service.this["worker"].template[0].containers[0].startup_probe[0].failure_threshold == 120
    error_message = "An instance has two minutes to fetch its artifact."
  }
}

run "outputs" {
  assert {
    condition     = toset(keys(output.topics)) == toset(["compare_predict", "dead_predict", "req_predict", "req_train", "res_predict"]) && output.topics["req_predict"] == google_pubsub_topic.this["req_predict"].id
    error_message = "The output has topics by their names in topology.yaml."
  }
  assert {
    condition     = toset(keys(output.subscriptions)) == toset(["compare_predict-sub", "dead_predict-announce", "dead_predict-sub", "req_predict-sub", "req_train-sub", "res_predict-sub"])
    error_message = "The output has subscriptions by their names in topology.yaml."
  }
  assert {
    condition     = output.buckets == tomap({ models = "some-project-models", payloads = "some-project-payloads", uploads = "some-project-uploads" })
    error_message = "The output has buckets by their names in topology.yaml."
  }
  assert {
    condition     = output.worker_url == google_cloud_run_v2_service.this["worker"].uri && output.worker_service_account == google_service_account.this["worker"].email
    error_message = "The worker's URL and account are outputs."
  }
  assert {
    condition     = output.images == "europe-west1-docker.pkg.dev/some-project/images" && output.answers == "some-project.predictions.answers"
    error_message = "The image repository and the view of responses are outputs."
  }
  assert {
    condition     = output.build == { bucket = "some-project-models", service_account = google_service_account.this["builder"].email }
    error_message = "What builds the image is an output."
  }
}
