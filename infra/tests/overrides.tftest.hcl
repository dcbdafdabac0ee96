# Numbers of topology.yaml that a deployment overrides.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "numbers" {
  variables {
    response_store = true
    topology_overrides = {
      "topics.req_predict.retention"                                    = "1209600s"
      "subscriptions.req_predict-sub.retention"                         = "864000s"
      "subscriptions.req_predict-sub.retry.minimum_backoff"             = "20s"
      "subscriptions.req_predict-sub.retry.maximum_backoff"             = "300s"
      "subscriptions.req_predict-sub.dead_letter.max_delivery_attempts" = 7
      "buckets.uploads.delete_after_days"                               = 40
      "buckets.payloads.delete_after_days"                              = 15
      "subscriptions.res_predict-sub.retention"                         = null
    }
  }
  assert {
    condition     = google_pubsub_topic.this["req_predict"].message_retention_duration == "1209600s" && google_pubsub_topic.this["res_predict"].message_retention_duration == "86400s"
    error_message = "A topic's retention is overridden, and no other topic's."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].message_retention_duration == "864000s" && google_pubsub_subscription.this["res_predict-sub"].message_retention_duration == "604800s"
    error_message = "A subscription's retention is overridden; null leaves topology.yaml's."
  }
  assert {
    condition     = one(google_pubsub_subscription.this["req_predict-sub"].retry_policy).minimum_backoff == "20s" && one(google_pubsub_subscription.this["req_predict-sub"].retry_policy).maximum_backoff == "300s" && one(google_pubsub_subscription.this["res_predict-sub"].retry_policy).minimum_backoff == "10s"
    error_message = "A subscription's backoff is overridden."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].dead_letter_policy[0].max_delivery_attempts == 7 && google_pubsub_subscription.this["req_predict-sub"].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.this["dead_predict"].id
    error_message = "A subscription's delivery attempts are overridden, and not its topic of dead letters."
  }
  assert {
    condition     = flatten([for name in ["uploads", "payloads", "models"] : [for rule in google_storage_bucket.this[name].lifecycle_rule : [for condition in rule.condition : "${name} ${condition.age}" if condition.age != null]]]) == ["uploads 40", "payloads 15"]
    error_message = "The age of objects is overridden."
  }
  assert {
    condition     = one(google_storage_bucket.response_store[0].lifecycle_rule[0].condition).age == 15
    error_message = "Responses are stored for one day longer than any request can be delivered."
  }
}

run "refuses_images_that_requests_outlive" {
  command = plan
  variables {
    topology_overrides = { "buckets.uploads.delete_after_days" = 7 }
  }
  expect_failures = [google_storage_bucket.this["uploads"]]
}

run "refuses_requests_that_outlive_images" {
  command = plan
  variables {
    topology_overrides = { "topics.req_predict.retention" = "1209600s" }
  }
  expect_failures = [google_storage_bucket.this["payloads"]]
}

run "refuses_a_backoff_that_shrinks" {
  command = plan
  variables {
    topology_overrides = { "subscriptions.req_predict-sub.retry.maximum_backoff" = "9s" }
  }
  expect_failures = [google_pubsub_subscription.this["req_predict-sub"]]
}
