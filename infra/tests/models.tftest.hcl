# Models of the registry: the worker's settings, the rights of workers and publishers, and what the bucket keeps.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "none" {
  assert {
    condition     = length(setintersection(google_cloud_run_v2_service.this["worker"].template[0].containers[0].env[*].name, ["REGISTRY", "MODELS", "COMPARISON_TOPIC"])) == 0
    error_message = "Without models, the worker serves its artifact."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.registry) == 0 && length(google_pubsub_topic_iam_member.comparisons) == 0 && length(google_storage_bucket_iam_member.model_publisher) == 0 && length(google_pubsub_subscription_iam_member.model_publisher) == 0 && contains(keys(google_storage_bucket_iam_member.worker), "models")
    error_message = "Without models, the worker reads its artifact in the models bucket, and nobody may publish models."
  }
  assert {
    condition     = length(google_logging_metric.not_replaced) == 0 && !contains(keys(google_monitoring_alert_policy.this), "not_replaced")
    error_message = "Without models, nothing counts models that are not replaced: each metric costs money."
  }
  assert {
    condition     = one(google_storage_bucket.this["models"].versioning).enabled && one(google_storage_bucket.this["models"].soft_delete_policy).retention_duration_seconds == 604800 && one(one(google_storage_bucket.this["models"].lifecycle_rule).condition).days_since_noncurrent_time == 30 && one(one(google_storage_bucket.this["models"].lifecycle_rule).action).type == "Delete"
    error_message = "The models bucket keeps what is replaced or deleted for 30 days, and a week more."
  }
  assert {
    condition     = alltrue([for name in ["uploads", "payloads"] : length(google_storage_bucket.this[name].versioning) == 0])
    error_message = "Images are not kept for longer than docs/security.md says."
  }
}

run "served_by_both_services" {
  variables {
    models        = ["clothing", "shoes@live"]
    http_endpoint = "internal"
    prefix        = "dev"
  }
  assert {
    condition = alltrue([for service in values(google_cloud_run_v2_service.this) : {
      for env in service.template[0].containers[0].env : env.name => env.value if contains(["REGISTRY", "MODELS", "COMPARISON_TOPIC", "ARTIFACT"], env.name)
      } == {
      REGISTRY         = "gs://some-project-dev-models/registry"
      MODELS           = "clothing,shoes@live"
      COMPARISON_TOPIC = google_pubsub_topic.this["compare_predict"].id
    }])
    error_message = "Worker and endpoint serve the models of the registry, and no artifact."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.endpoint) == 0 && !contains(keys(google_storage_bucket_iam_member.worker), "models")
    error_message = "Nothing reads the models bucket as a whole, except for the builder."
  }
  assert {
    condition     = { for name, grant in google_storage_bucket_iam_member.registry : name => [grant.bucket, grant.role, grant.member == google_service_account.this[name].member] } == { for name in ["worker", "endpoint"] : name => ["some-project-dev-models", "roles/storage.objectViewer", true] }
    error_message = "Worker and endpoint may read, and neither write nor delete."
  }
  assert {
    condition     = alltrue([for grant in google_storage_bucket_iam_member.registry : one(grant.condition).expression == "resource.name == \"projects/_/buckets/some-project-dev-models\" || resource.name.startsWith(\"projects/_/buckets/some-project-dev-models/objects/registry/\")"])
    error_message = "They list the bucket, and read the registry only."
  }
  assert {
    condition     = alltrue([for grant in google_pubsub_topic_iam_member.comparisons : grant.topic == "dev-compare_predict" && grant.role == "roles/pubsub.publisher"]) && toset(keys(google_pubsub_topic_iam_member.comparisons)) == toset(["worker", "endpoint"])
    error_message = "Both publish comparisons."
  }
  assert {
    condition     = google_pubsub_subscription.this["compare_predict-sub"].topic == google_pubsub_topic.this["compare_predict"].id && length(google_pubsub_subscription.this["compare_predict-sub"].push_config) == 0
    error_message = "Comparisons wait to be pulled."
  }
  assert {
    condition     = output.registry == "gs://some-project-dev-models/registry" && output.deployed.models == tolist(["clothing", "shoes@live"])
    error_message = "Outputs name the registry and what is served."
  }
}

run "served_by_a_pool" {
  variables {
    models  = ["clothing"]
    compute = "worker"
  }
  assert {
    condition     = { for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : env.name => env.value }["MODELS"] == "clothing"
    error_message = "A pool serves the models of the registry."
  }
}

run "served_by_a_function" {
  variables {
    models          = ["clothing"]
    compute         = "function"
    function_source = "topology.yaml"
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].environment_variables["REGISTRY"] == "gs://some-project-models/registry"
    error_message = "A function serves the models of the registry."
  }
}

run "registry_in_a_brought_bucket" {
  variables {
    models   = ["clothing"]
    existing = { buckets = { models = "shop-models" } }
  }
  assert {
    condition     = output.registry == "gs://shop-models/registry" && google_storage_bucket_iam_member.registry["worker"].bucket == "shop-models" && strcontains(one(google_storage_bucket_iam_member.registry["worker"].condition).expression, "buckets/shop-models/objects/registry/")
    error_message = "The registry is in the bucket that exists."
  }
}

run "publishers" {
  variables {
    model_publishers = { team = "group:models@example.com" }
  }
  assert {
    condition     = google_storage_bucket_iam_member.model_publisher["team"].role == "roles/storage.objectUser" && google_storage_bucket_iam_member.model_publisher["team"].member == "group:models@example.com" && endswith(one(google_storage_bucket_iam_member.model_publisher["team"].condition).expression, " || resource.name.startsWith(\"projects/_/buckets/some-project-models/objects/registry/\")")
    error_message = "A publisher writes to the registry, and to nothing else in the bucket."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.model_publisher["team"].subscription == "compare_predict-sub" && google_pubsub_subscription_iam_member.model_publisher["team"].role == "roles/pubsub.subscriber"
    error_message = "A publisher reads comparisons."
  }
}

run "an_alert_of_models_that_are_not_replaced" {
  variables {
    models = ["clothing"]
  }
  assert {
    condition     = endswith(google_logging_metric.not_replaced[0].filter, "jsonPayload.logger=\"functions.runtime.model_problems\" AND jsonPayload.message=\"model not replaced\"") && google_logging_metric.not_replaced[0].label_extractors == tomap({ model = "EXTRACT(jsonPayload.model)", alias = "EXTRACT(jsonPayload.alias)" })
    error_message = "The worker's line is counted, by model and alias."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["not_replaced"].severity == "ERROR" && alltrue([for name in ["not_replaced", "drift", "errors", "failed_starts"] : strcontains(google_monitoring_alert_policy.this[name].documentation[0].content, "predictions model rollback NAME --registry gs://some-project-models/registry")])
    error_message = "Alerts that a model may cause name the command that takes it back."
  }
}

run "refuses_a_fixed_version" {
  command = plan
  variables {
    models = ["clothing@3"]
  }
  expect_failures = [var.models]
}

run "refuses_a_model_twice" {
  command = plan
  variables {
    models = ["clothing", "clothing@candidate"]
  }
  expect_failures = [var.models]
}

run "refuses_models_next_to_an_artifact" {
  command = plan
  variables {
    models          = ["clothing"]
    artifact_prefix = "fashion-mnist/3"
  }
  expect_failures = [var.models]
}

run "refuses_the_public_as_a_publisher" {
  command = plan
  variables {
    model_publishers = { anyone = "allUsers" }
  }
  expect_failures = [var.model_publishers]
}
