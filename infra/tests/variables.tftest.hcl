# Variables: their effect, and values that are refused.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "prefix_is_on_every_name" {
  variables {
    prefix = "dev"
  }
  assert {
    condition = alltrue([
      for name in concat(
        values(google_pubsub_topic.this)[*].name,
        values(google_pubsub_subscription.this)[*].name,
        [google_cloud_run_v2_service.this["worker"].name, google_service_account.this["worker"].account_id, google_service_account.this["invoker"].account_id],
        [google_artifact_registry_repository.images.repository_id],
      ) : startswith(name, "dev-")
    ])
    error_message = "Every name starts with the prefix."
  }
  assert {
    condition     = google_storage_bucket.this["uploads"].name == "some-project-dev-uploads"
    error_message = "A bucket's name holds the project and the prefix."
  }
}

run "artifact_from_the_bucket" {
  variables {
    artifact_prefix = "fashion-mnist/3"
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ARTIFACT"] == "gs://some-project-models/fashion-mnist/3"
    error_message = "artifact_prefix names a folder in the models bucket."
  }
}

run "clients_are_let_in" {
  variables {
    clients = { someone = "user:someone@example.com" }
  }
  assert {
    condition     = google_pubsub_topic_iam_member.client["someone"].topic == "req_predict" && google_pubsub_topic_iam_member.client["someone"].role == "roles/pubsub.publisher"
    error_message = "A client may send requests."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.client["someone"].subscription == "res_predict-sub" && google_pubsub_subscription_iam_member.client["someone"].role == "roles/pubsub.subscriber"
    error_message = "A client may read responses."
  }
  assert {
    condition     = toset(values(google_storage_bucket_iam_member.client)[*].bucket) == toset(["some-project-uploads", "some-project-payloads"]) && alltrue([for grant in google_storage_bucket_iam_member.client : grant.role == "roles/storage.objectCreator"])
    error_message = "A client may upload images to two buckets, but neither list nor read them."
  }
  assert {
    condition     = length(google_project_iam_custom_role.client) == 0 && length(google_project_iam_member.client) == 0 && length(google_pubsub_topic_iam_member.client_subscription) == 0
    error_message = "A client has no rights on the project unless they are asked for."
  }
}

run "clients_may_have_subscriptions_of_their_own" {
  variables {
    clients              = { someone = "user:someone@example.com" }
    client_subscriptions = true
    prefix               = "dev"
  }
  assert {
    condition     = google_project_iam_custom_role.client[0].role_id == "dev_prediction_client" && google_project_iam_custom_role.client[0].permissions == toset(["pubsub.subscriptions.consume", "pubsub.subscriptions.create", "pubsub.subscriptions.delete"])
    error_message = "The role has the three rights that a response subscription needs."
  }
  assert {
    condition     = google_project_iam_member.client["someone"].role == google_project_iam_custom_role.client[0].name && google_project_iam_member.client["someone"].member == "user:someone@example.com"
    error_message = "A client may create subscriptions."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.client_subscription["someone"].topic == "dev-res_predict" && google_pubsub_topic_iam_member.client_subscription["someone"].role == "roles/pubsub.subscriber" && google_pubsub_topic_iam_member.client_subscription["someone"].member == "user:someone@example.com"
    error_message = "A client may attach subscriptions to the topic of responses."
  }
}

run "response_store_on_request" {
  variables {
    response_store = true
    prefix         = "dev"
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["RESPONSE_STORE"] == "gs://some-project-dev-response-store/answers"
    error_message = "The worker must know its response store."
  }
  assert {
    condition     = toset(values(google_storage_bucket_iam_member.response_store)[*].role) == toset(["roles/storage.objectCreator", "roles/storage.objectViewer"]) && alltrue([for grant in google_storage_bucket_iam_member.response_store : grant.bucket == "some-project-dev-response-store" && grant.member == google_service_account.this["worker"].member])
    error_message = "The worker may store and read responses, but neither replace nor delete them."
  }
  assert {
    condition     = google_storage_bucket.response_store[0].public_access_prevention == "enforced" && google_storage_bucket.response_store[0].uniform_bucket_level_access && !google_storage_bucket.response_store[0].force_destroy
    error_message = "Responses are not public, and survive the destruction of the deployment."
  }
  assert {
    condition     = one(google_storage_bucket.response_store[0].lifecycle_rule[0].condition).age == 8 && one(google_storage_bucket.response_store[0].lifecycle_rule[0].action).type == "Delete" && google_storage_bucket.response_store[0].soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "A response is kept one day longer than its message may be redelivered, and then deleted."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.worker) == 3
    error_message = "The response store is not among the buckets of images."
  }
}

run "refuses_a_response_store_in_the_settings" {
  command = plan
  variables {
    settings = { RESPONSE_STORE = "gs://some-bucket/answers" }
  }
  expect_failures = [var.settings]
}

run "other_buckets_may_be_read_on_request" {
  variables {
    settings = { ALLOWED_BUCKETS = "photos" }
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ALLOWED_BUCKETS"] == "photos"
    error_message = "settings may name other buckets."
  }
}

run "refuses_a_bad_project" {
  command = plan
  variables {
    project_id = "123456789012"
  }
  expect_failures = [var.project_id]
}

run "refuses_a_zone" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "refuses_a_bad_prefix" {
  command = plan
  variables {
    prefix = "Dev_"
  }
  expect_failures = [var.prefix]
}

run "refuses_an_image_without_registry" {
  command = plan
  variables {
    image = "worker"
  }
  expect_failures = [var.image]
}

run "refuses_an_artifact_elsewhere" {
  command = plan
  variables {
    artifact_prefix = "gs://others/fashion-mnist"
  }
  expect_failures = [var.artifact_prefix]
}

run "settings_replace_nothing" {
  variables {
    compute        = "worker"
    http_endpoint  = "internal"
    response_store = true
    models         = ["clothing"] # instead of an artifact
    gpu            = "nvidia-l4"
    cpu            = 4
    memory         = "16Gi"
  }
  assert {
    condition = setsubtract(
      # The names of Kafka's variables: kafka.tftest.hcl has a pool with them.
      setunion(["ARTIFACT"], ["DEAD_TOPIC", "REQUEST_TOPIC", "KAFKA_BOOTSTRAP", "KAFKA_CONFIG", "KAFKA_MAX_ATTEMPTS", "KAFKA_MAX_BACKOFF_S", "KAFKA_MIN_BACKOFF_S", "KAFKA_OAUTH"], google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env[*].name, google_cloud_run_v2_service.this["endpoint"].template[0].containers[0].env[*].name),
      ["ALLOWED_BUCKETS", "PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"],
    ) == toset(keys(local.set_elsewhere))
    error_message = "settings are refused for each environment variable that other inputs set: otherwise one would silently replace the other."
  }
}

run "refuses_settings_that_are_set_already" {
  command = plan
  variables {
    settings = { THREADS = "80" }
  }
  expect_failures = [var.settings]
}

run "refuses_a_second_check_of_tokens" {
  command = plan
  variables {
    settings = { PUSH_AUDIENCE = "worker", PUSH_SERVICE_ACCOUNT = "invoker@example.com" }
  }
  expect_failures = [var.settings]
}

run "refuses_the_public_as_a_client" {
  command = plan
  variables {
    clients = { someone = "allUsers" }
  }
  expect_failures = [var.clients]
}
