# A pool that follows its backlog: off by default, else one job, one schedule, their grants and an alert.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
  compute    = "worker"
  instances  = 3
}

run "none" {
  assert {
    condition     = length(google_cloud_run_v2_job.scale) == 0 && length(google_cloud_scheduler_job.scale) == 0 && length(google_project_iam_member.scaler) == 0 && !contains(keys(google_service_account.this), "scaler") && !contains(keys(google_monitoring_alert_policy.this), "scaling") && !contains(keys(google_project_service.this), "cloudscheduler")
    error_message = "Nothing scales the pool by default."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].scaling[0].manual_instance_count == 3
    error_message = "Without scale, the pool has the given instances."
  }
  assert {
    condition     = output.first_response_seconds == 120
    error_message = "A pool that always runs answers at once."
  }
}

run "scale" {
  variables {
    scale  = { max = 10, rate = 24.5 }
    prefix = "dev"
  }
  assert {
    condition     = length(google_cloud_run_v2_worker_pool.worker[0].scaling) == 0
    error_message = "The instance count is not Terraform's, or every apply would undo the job's work."
  }
  assert {
    condition     = output.first_response_seconds == 900
    error_message = "The smoke test waits for a pool at zero."
  }
  assert {
    condition = google_cloud_run_v2_job.scale[0].template[0].template[0].containers[0].command == tolist(["python", "-m", "functions.entrypoints.scale_pool"]) && google_cloud_run_v2_job.scale[0].template[0].template[0].containers[0].args == tolist([
      google_cloud_run_v2_worker_pool.worker[0].id,
      "--subscription=${google_pubsub_subscription.this["req_predict-sub"].id}",
      "--min=0", "--max=10", "--rate=24.5", "--drain=10", "--cooldown=15", "--json",
    ])
    error_message = "The job scales this pool from this backlog within the limits."
  }
  assert {
    condition     = google_cloud_run_v2_job.scale[0].name == "dev-prediction-scale" && google_cloud_run_v2_job.scale[0].template[0].template[0].service_account == google_service_account.this["scaler"].email && google_cloud_run_v2_job.scale[0].template[0].template[0].containers[0].image == var.image
    error_message = "The job runs the worker's image with an account of its own."
  }
  assert {
    condition     = google_cloud_run_v2_job.scale[0].template[0].template[0].max_retries == 0 && google_cloud_run_v2_job.scale[0].template[0].template[0].timeout == "120s" && google_cloud_scheduler_job.scale[0].retry_config[0].retry_count == 0
    error_message = "A failed run is not repeated: the next one has newer metrics."
  }
  assert {
    condition     = google_cloud_run_v2_job.scale[0].deletion_protection == false
    error_message = "The option can be removed in one apply."
  }
  assert {
    condition     = google_cloud_scheduler_job.scale[0].schedule == "*/5 * * * *" && google_cloud_scheduler_job.scale[0].http_target[0].http_method == "POST" && google_cloud_scheduler_job.scale[0].http_target[0].uri == "https://run.googleapis.com/v2/${google_cloud_run_v2_job.scale[0].id}:run" && google_cloud_scheduler_job.scale[0].http_target[0].oauth_token[0].service_account_email == google_service_account.this["scaler"].email
    error_message = "Scheduler starts the job every five minutes, as the job's own account."
  }
  assert {
    condition     = google_cloud_run_v2_job_iam_member.scaler[0].role == "roles/run.invoker" && google_cloud_run_v2_job_iam_member.scaler[0].name == google_cloud_run_v2_job.scale[0].name
    error_message = "That account may start the job."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool_iam_member.scaler[0].role == "roles/run.developer" && google_cloud_run_v2_worker_pool_iam_member.scaler[0].name == google_cloud_run_v2_worker_pool.worker[0].name
    error_message = "The job may change this pool, and no other."
  }
  assert {
    condition     = google_service_account_iam_member.scaler[0].role == "roles/iam.serviceAccountUser" && google_service_account_iam_member.scaler[0].service_account_id == google_service_account.this["worker"].name
    error_message = "The job may change a pool that runs as the worker's account."
  }
  assert {
    condition     = google_project_iam_member.scaler[0].role == "roles/monitoring.viewer"
    error_message = "The job may read metrics, and nothing else of the project."
  }
  assert {
    condition = alltrue([
      for member in [google_project_iam_member.scaler[0].member, google_cloud_run_v2_worker_pool_iam_member.scaler[0].member, google_service_account_iam_member.scaler[0].member, google_cloud_run_v2_job_iam_member.scaler[0].member] :
      member == google_service_account.this["scaler"].member
    ])
    error_message = "All these rights are the scaler's."
  }
  assert {
    condition     = contains(keys(google_project_service.this), "cloudscheduler")
    error_message = "Cloud Scheduler needs its API."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["scaling"].conditions[0].condition_prometheus_query_language[0].query, "[5m]") && google_monitoring_alert_policy.this["scaling"].conditions[0].condition_prometheus_query_language[0].duration == "600s"
    error_message = "After 15 minutes without a decision there is an alert."
  }
}

run "other_numbers" {
  variables {
    scale                = { min = 1, max = 4, rate = 24, drain_minutes = 3, cooldown_minutes = 30, every_minutes = 1 }
    subnetwork           = "projects/network/regions/europe-west1/subnetworks/inner"
    binary_authorization = "default"
    kms_key              = { id = "projects/p/locations/europe-west1/keyRings/r/cryptoKeys/k" }
  }
  assert {
    condition     = slice(google_cloud_run_v2_job.scale[0].template[0].template[0].containers[0].args, 2, 7) == tolist(["--min=1", "--max=4", "--rate=24", "--drain=3", "--cooldown=30"]) && google_cloud_scheduler_job.scale[0].schedule == "*/1 * * * *"
    error_message = "Every number of the option is used."
  }
  assert {
    condition     = output.first_response_seconds == 120
    error_message = "A pool with a minimum answers at once."
  }
  assert {
    condition     = google_cloud_run_v2_job.scale[0].template[0].template[0].vpc_access[0].egress == "ALL_TRAFFIC" && google_cloud_run_v2_job.scale[0].binary_authorization[0].use_default && google_cloud_run_v2_job.scale[0].template[0].template[0].encryption_key == var.kms_key.id
    error_message = "The job follows the organisation's policies, as the pool does."
  }
}

run "refuses_a_service" {
  command = plan
  variables {
    compute = "push"
    scale   = { max = 10, rate = 24 }
  }
  expect_failures = [var.scale]
}
