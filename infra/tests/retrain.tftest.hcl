# The retrain loop: off by default, else one job with its schedule and grants, and with a model one scheduled request.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "none" {
  assert {
    condition     = length(google_cloud_run_v2_job.retrain) + length(google_cloud_scheduler_job.retrain) + length(google_cloud_scheduler_job.train) == 0 && !contains(keys(google_service_account.this), "trainer")
    error_message = "There is no training job by default."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_train-sub"].ack_deadline_seconds == 600 && google_pubsub_subscription.this["req_train-sub"].dead_letter_policy[0].max_delivery_attempts == 5
    error_message = "Requests wait for a training worker, for few attempts."
  }
}

run "retrain" {
  variables {
    retrain             = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", prefix = "clothing", models = "clothing", hours = "2" }
    training_requesters = { team = "group:models@example.com" }
  }
  assert {
    condition     = google_cloud_run_v2_job.retrain[0].template[0].template[0].containers[0].command == tolist(["python", "-m", "functions.entrypoints.train_worker"]) && google_cloud_run_v2_job.retrain[0].template[0].template[0].containers[0].image == "europe-docker.pkg.dev/p/images/train@sha256:0"
    error_message = "The job runs the training worker in an image with TensorFlow."
  }
  assert {
    condition = { for env in google_cloud_run_v2_job.retrain[0].template[0].template[0].containers[0].env : env.name => env.value } == {
      GOOGLE_CLOUD_PROJECT = "some-project"
      RESPONSE_TOPIC       = google_pubsub_topic.this["res_predict"].id
      TRAIN_SUBSCRIPTION   = google_pubsub_subscription.this["req_train-sub"].id
      REGISTRY             = "gs://some-project-models/registry"
      TRAIN_DATA           = "gs://photos/clothing"
      TRAIN_MODELS         = "clothing"
      TRAIN_MARGIN         = "0.01"
      TRAIN_ON_ALERT       = ""
      TRAIN_MAX_S          = "7200"
    }
    error_message = "The job trains on images below the prefix, and pushes to the registry."
  }
  assert {
    condition     = google_cloud_run_v2_job.retrain[0].template[0].template[0].timeout == "15000s" && google_cloud_run_v2_job.retrain[0].template[0].template[0].max_retries == 0
    error_message = "A run has the time of two trainings, and Pub/Sub repeats what failed."
  }
  assert {
    condition     = google_storage_bucket_iam_member.training_data[0].bucket == "photos" && google_storage_bucket_iam_member.training_data[0].role == "roles/storage.objectViewer" && google_storage_bucket_iam_member.registry_writer[0].bucket == "some-project-models" && google_storage_bucket_iam_member.registry_writer[0].role == "roles/storage.objectUser" && strcontains(google_storage_bucket_iam_member.registry_writer[0].condition[0].expression, "some-project-models/objects/registry/")
    error_message = "The job reads its images, and writes below the registry's folder only."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.trainer[0].subscription == "req_train-sub" && google_pubsub_topic_iam_member.training_answers[0].topic == "res_predict" && google_pubsub_topic_iam_member.training_requester["team"].topic == "req_train" && google_pubsub_topic_iam_member.training_requester["team"].member == "group:models@example.com"
    error_message = "The job pulls requests and publishes answers; requesters may only publish requests."
  }
  assert {
    condition     = google_cloud_scheduler_job.retrain[0].schedule == "0 * * * *" && google_cloud_scheduler_job.retrain[0].http_target[0].uri == "https://run.googleapis.com/v2/${google_cloud_run_v2_job.retrain[0].id}:run" && length(google_cloud_scheduler_job.train) == 0
    error_message = "Scheduler starts the job each hour, and requests nothing without a model."
  }
}

run "scheduled" {
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", model = "clothing", backbone = "MobileNetV2", train_schedule = "0 5 * * 0" }
  }
  assert {
    condition     = jsondecode(base64decode(google_cloud_scheduler_job.train[0].pubsub_target[0].data)) == { kind = "train", model = "clothing", data = "gs://photos", config = { backbone = "MobileNetV2" } } && google_cloud_scheduler_job.train[0].schedule == "0 5 * * 0"
    error_message = "Scheduler requests a training of the model."
  }
}

run "on_drift" {
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", model = "clothing", backbone = "MobileNetV2", on_drift = "true" }
    alerts  = { emails = ["someone@example.com"] }
  }
  assert {
    condition     = google_monitoring_notification_channel.training[0].type == "pubsub" && google_monitoring_notification_channel.training[0].labels == tomap({ topic = google_pubsub_topic.this["req_train"].id })
    error_message = "An incident is a message on the topic of training requests."
  }
  assert {
    condition     = toset([for name, alert in google_monitoring_alert_policy.this : name if contains(alert.notification_channels, google_monitoring_notification_channel.training[0].id)]) == toset(["drift"])
    error_message = "Only the drift alert requests a training."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_job.retrain[0].template[0].template[0].containers[0].env : env.name => env.value }["TRAIN_ON_ALERT"] == base64decode(google_cloud_scheduler_job.train[0].pubsub_target[0].data)
    error_message = "An incident requests what the schedule requests."
  }
}

run "refuses_drift_without_a_model" {
  command = plan
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", on_drift = "true" }
  }
  expect_failures = [var.retrain]
}

run "refuses_an_unknown_name" {
  command = plan
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", color = "red" }
  }
  expect_failures = [var.retrain]
}

run "refuses_a_model_without_a_backbone" {
  command = plan
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", model = "clothing" }
  }
  expect_failures = [var.retrain]
}

run "refuses_a_schedule_without_a_model" {
  command = plan
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", train_schedule = "0 3 * * 1" }
  }
  expect_failures = [var.retrain]
}

run "refuses_a_parent_folder" {
  command = plan
  variables {
    retrain = { image = "europe-docker.pkg.dev/p/images/train@sha256:0", bucket = "photos", prefix = "a/../b" }
  }
  expect_failures = [var.retrain]
}

run "refuses_requesters_without_a_job" {
  command = plan
  variables {
    training_requesters = { team = "group:models@example.com" }
  }
  expect_failures = [var.training_requesters]
}
