# The pipeline with topology.yaml and default variables. The providers are mocked, so computed values are invented.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "messages" {
  assert {
    condition     = toset([for topic in google_pubsub_topic.this : topic.name]) == toset(["req_predict", "res_predict", "dead_predict", "compare_predict", "req_train"])
    error_message = "The contract names four topics."
  }
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.this : subscription.expiration_policy[0].ttl == ""])
    error_message = "No subscription may expire."
  }
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.this : subscription.ack_deadline_seconds > trimsuffix(google_cloud_run_v2_service.this["worker"].template[0].timeout, "s")])
    error_message = "A request must time out before its message is delivered again."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.this["dead_predict"].id
    error_message = "Requests that cannot be processed must become dead letters."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].dead_letter_policy[0].max_delivery_attempts >= 20
    error_message = "Overload (429, 503) counts as an attempt: fewer than 20 dead-letter good requests."
  }
  assert {
    condition     = alltrue([for name in ["req_predict-sub", "dead_predict-announce"] : one(google_pubsub_subscription.this[name].retry_policy).minimum_backoff == "10s"])
    error_message = "A push that fails must wait before it is tried again."
  }
  assert {
    condition     = length([for subscription in google_pubsub_subscription.this : subscription if subscription.topic == google_pubsub_topic.this["dead_predict"].id]) >= 2
    error_message = "Dead letters need a subscription that keeps them and one that announces them."
  }
}

run "dead_letter_grants" {
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letter["dead_predict"].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.dead_letter["dead_predict"].member == google_project_service_identity.pubsub.member
    error_message = "Pub/Sub's agent must be a publisher of the dead-letter topic."
  }
  assert {
    condition = alltrue([
      for name, subscription in google_pubsub_subscription.this : length(subscription.dead_letter_policy) == 0 || (
        try(google_pubsub_subscription_iam_member.dead_letter[name].role, "") == "roles/pubsub.subscriber" &&
        try(google_pubsub_subscription_iam_member.dead_letter[name].member, "") == google_project_service_identity.pubsub.member
      )
    ])
    error_message = "Pub/Sub's agent must be a subscriber of every source of dead letters."
  }
}

run "push" {
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].push_config[0].push_endpoint == "${google_cloud_run_v2_service.this["worker"].uri}/"
    error_message = "Requests are pushed to the worker's first endpoint."
  }
  assert {
    condition     = google_pubsub_subscription.this["dead_predict-announce"].push_config[0].push_endpoint == "${google_cloud_run_v2_service.this["worker"].uri}/dead"
    error_message = "Dead letters are pushed to the worker's /dead."
  }
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.this : length(subscription.push_config) == 0 || (
        try(subscription.push_config[0].oidc_token[0].service_account_email, "") == google_service_account.this["invoker"].email &&
        try(contains(google_cloud_run_v2_service.this["worker"].custom_audiences, subscription.push_config[0].oidc_token[0].audience), false)
      )
    ])
    error_message = "Pub/Sub must call as the invoker, with an audience that the worker accepts."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker[0].role == "roles/run.invoker" && google_cloud_run_v2_service_iam_member.invoker[0].member == google_service_account.this["invoker"].member
    error_message = "Only the invoker may call the worker."
  }
  assert {
    condition     = google_service_account_iam_member.pubsub_agent[0].role == "roles/iam.serviceAccountTokenCreator" && google_service_account_iam_member.pubsub_agent[0].member == google_project_service_identity.pubsub.member
    error_message = "Pub/Sub's agent must be able to create the invoker's tokens."
  }
}

run "worker" {
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && google_cloud_run_v2_service.this["worker"].invoker_iam_disabled == false
    error_message = "The worker has no public endpoint."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].deletion_protection
    error_message = "The worker must be protected by default."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].service_account == google_service_account.this["worker"].email
    error_message = "The worker must not run as the default service account."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["THREADS"] == tostring(google_cloud_run_v2_service.this["worker"].template[0].max_instance_request_concurrency)
    error_message = "Each concurrent request of an instance needs a thread."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["RESPONSE_TOPIC"] == google_pubsub_topic.this["res_predict"].id
    error_message = "The worker must know where responses go."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["HTTP_ENDPOINT"] == "off"
    error_message = "The HTTP endpoint is closed by default."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ALLOWED_BUCKETS"] == "some-project-payloads,some-project-uploads"
    error_message = "Requests may name only images that clients uploaded."
  }
  assert {
    condition     = !contains([for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name], "ARTIFACT")
    error_message = "Without artifact_prefix the artifact in the image is served."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].startup_probe[0].http_get[0].path == "/ready" && google_cloud_run_v2_service.this["worker"].template[0].containers[0].ports[0].container_port == 8080
    error_message = "An instance accepts requests when its model is loaded."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.answers["worker"].topic == "res_predict" && google_pubsub_topic_iam_member.answers["worker"].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.answers["worker"].member == google_service_account.this["worker"].member
    error_message = "The worker may publish only responses."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.worker) == 3 && alltrue([for grant in google_storage_bucket_iam_member.worker : grant.role == "roles/storage.objectViewer"])
    error_message = "The worker may read the three buckets, but not write to them."
  }
}

run "no_response_store" {
  assert {
    condition     = length(google_storage_bucket.response_store) == 0 && length(google_storage_bucket_iam_member.response_store) == 0
    error_message = "There is no response store by default."
  }
  assert {
    condition     = !contains([for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name], "RESPONSE_STORE")
    error_message = "Without a response store the worker stores no response."
  }
}

run "storage" {
  assert {
    condition     = alltrue([for bucket in google_storage_bucket.this : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && !bucket.force_destroy])
    error_message = "No bucket may be public, use access control lists or be destroyed with its content."
  }
  assert {
    condition     = one(google_storage_bucket.this["payloads"].lifecycle_rule[0].condition).age == 8 && one(google_storage_bucket.this["payloads"].lifecycle_rule[0].action).type == "Delete"
    error_message = "Payloads are deleted one day after the last message that may name them expires."
  }
  assert {
    condition     = alltrue(flatten([for rule in google_storage_bucket.this["models"].lifecycle_rule : [for condition in rule.condition : condition.age == null && condition.days_since_noncurrent_time == 30]]))
    error_message = "Models are kept, and what was replaced or deleted for a month."
  }
  assert {
    condition     = google_storage_notification.this["uploads"].bucket == "some-project-uploads" && google_storage_notification.this["uploads"].topic == google_pubsub_topic.this["req_predict"].id
    error_message = "Uploads become requests."
  }
  assert {
    condition     = google_storage_notification.this["uploads"].payload_format == "JSON_API_V1" && google_storage_notification.this["uploads"].event_types == toset(["OBJECT_FINALIZE"])
    error_message = "Notifications are of finished objects, as JSON."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.notification["req_predict"].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.notification["req_predict"].member == "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
    error_message = "Storage's agent must be a publisher of the topic that it notifies."
  }
}
