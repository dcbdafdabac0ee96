# Nightly batches: off by default, else one job, one schedule, and their grants.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "none" {
  assert {
    condition     = length(google_cloud_run_v2_job.nightly) == 0 && length(google_cloud_scheduler_job.nightly) == 0 && length(google_storage_bucket_iam_member.nightly) == 0
    error_message = "There is no nightly job by default."
  }
}

run "nightly" {
  variables {
    nightly = { bucket = "photos", prefix = "2026/" }
  }
  assert {
    condition     = google_cloud_run_v2_job.nightly[0].template[0].template[0].containers[0].command == tolist(["python", "-m", "functions.entrypoints.batch_publish"]) && google_cloud_run_v2_job.nightly[0].template[0].template[0].containers[0].args == tolist(["gs://photos/2026/", "--topic=${google_pubsub_topic.this["req_predict"].id}", "--hours=25"])
    error_message = "The job requests predictions for objects of the last 25 hours under the prefix."
  }
  assert {
    condition     = google_cloud_run_v2_job.nightly[0].template[0].template[0].service_account == google_service_account.this["nightly"].email && google_cloud_run_v2_job.nightly[0].deletion_protection
    error_message = "The job has its own account, and is protected."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.nightly[0].topic == "req_predict" && google_pubsub_topic_iam_member.nightly[0].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.nightly[0].member == google_service_account.this["nightly"].member
    error_message = "The job may send requests."
  }
  assert {
    condition     = { for name, grant in google_storage_bucket_iam_member.nightly : name => "${grant.bucket} ${grant.role}" } == { nightly = "photos roles/storage.objectViewer", worker = "photos roles/storage.objectViewer" }
    error_message = "The job can list the bucket, and the worker can read it."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ALLOWED_BUCKETS"] == "some-project-payloads,some-project-uploads,photos"
    error_message = "The worker accepts images from the bucket."
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].schedule == "0 3 * * *" && google_cloud_scheduler_job.nightly[0].http_target[0].http_method == "POST" && google_cloud_scheduler_job.nightly[0].http_target[0].uri == "https://run.googleapis.com/v2/${google_cloud_run_v2_job.nightly[0].id}:run" && google_cloud_scheduler_job.nightly[0].http_target[0].oauth_token[0].service_account_email == google_service_account.this["nightly"].email
    error_message = "Scheduler starts the job, as the job's own account."
  }
  assert {
    condition     = google_cloud_run_v2_job_iam_member.nightly[0].role == "roles/run.invoker" && google_cloud_run_v2_job_iam_member.nightly[0].member == google_service_account.this["nightly"].member
    error_message = "That account may start the job."
  }
}

run "gathered" {
  variables {
    nightly = { bucket = "photos", gather = 32 }
  }
  assert {
    condition     = google_cloud_run_v2_job.nightly[0].template[0].template[0].containers[0].args == tolist(["gs://photos/", "--topic=${google_pubsub_topic.this["req_predict"].id}", "--hours=25", "--gather=32"])
    error_message = "Several images share a message."
  }
}

run "refuses_more_images_than_a_message_may_have" {
  command = plan
  variables {
    nightly = { bucket = "photos", gather = 257 }
  }
  expect_failures = [var.nightly]
}

run "refuses_an_address_for_a_bucket" {
  command = plan
  variables {
    nightly = { bucket = "gs://photos/2026" }
  }
  expect_failures = [var.nightly]
}

run "refuses_a_bucket_of_the_deployment" {
  command = plan
  variables {
    nightly = { bucket = "some-project-uploads" }
  }
  expect_failures = [google_cloud_run_v2_job.nightly]
}

run "refuses_a_brought_bucket" {
  command = plan
  variables {
    nightly  = { bucket = "shop-images" }
    existing = { buckets = { uploads = "shop-images" } }
  }
  expect_failures = [google_cloud_run_v2_job.nightly]
}
