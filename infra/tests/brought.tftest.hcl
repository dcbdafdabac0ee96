# Resources that exist already: they are used everywhere, nothing is created in their place, and the grants are made.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "topics" {
  variables {
    clients  = { someone = "user:someone@example.com" }
    nightly  = { bucket = "photos" }
    existing = { topics = { req_predict = "projects/shared/topics/images", res_predict = "projects/shared/topics/labels", dead_predict = "projects/shared/topics/dead", compare_predict = "projects/shared/topics/comparisons", req_train = "projects/shared/topics/trainings" } }
  }
  assert {
    condition     = length(google_pubsub_topic.this) == 0
    error_message = "A brought topic is not created."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].topic == "projects/shared/topics/images" && google_pubsub_subscription.this["req_predict-sub"].dead_letter_policy[0].dead_letter_topic == "projects/shared/topics/dead" && google_pubsub_subscription.bigquery[0].topic == "projects/shared/topics/labels"
    error_message = "Subscriptions are of the brought topics."
  }
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.this : subscription.project == "some-project"])
    error_message = "Subscriptions are in the project of the deployment."
  }
  assert {
    condition     = google_storage_notification.this["uploads"].topic == "projects/shared/topics/images"
    error_message = "Uploads become requests on the brought topic."
  }
  assert {
    condition = alltrue([for grant in [
      google_pubsub_topic_iam_member.notification["req_predict"], google_pubsub_topic_iam_member.client["someone"], google_pubsub_topic_iam_member.nightly[0],
    ] : grant.project == "shared" && grant.topic == "images" && grant.role == "roles/pubsub.publisher"])
    error_message = "Storage, clients and the nightly job may publish requests to the brought topic."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.answers["worker"].project == "shared" && google_pubsub_topic_iam_member.answers["worker"].topic == "labels"
    error_message = "The worker may publish responses to the brought topic."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_letter["dead_predict"].project == "shared" && google_pubsub_topic_iam_member.dead_letter["dead_predict"].topic == "dead"
    error_message = "Pub/Sub's agent may publish dead letters to the brought topic."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["RESPONSE_TOPIC"] == "projects/shared/topics/labels"
    error_message = "The worker publishes to the brought topic."
  }
  assert {
    condition     = output.topics == tomap({ req_predict = "projects/shared/topics/images", res_predict = "projects/shared/topics/labels", dead_predict = "projects/shared/topics/dead", compare_predict = "projects/shared/topics/comparisons", req_train = "projects/shared/topics/trainings" })
    error_message = "The output has the brought topics."
  }
}

run "buckets" {
  variables {
    clients         = { someone = "user:someone@example.com" }
    http_endpoint   = "internal"
    artifact_prefix = "shoes"
    existing        = { buckets = { uploads = "shop-images", payloads = "shop-payloads", models = "shop-models" } }
  }
  assert {
    condition     = length(google_storage_bucket.this) == 0
    error_message = "A brought bucket is not created."
  }
  assert {
    condition     = google_storage_notification.this["uploads"].bucket == "shop-images"
    error_message = "Uploads to the brought bucket become requests."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ALLOWED_BUCKETS"] == "shop-payloads,shop-images" && { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["ARTIFACT"] == "gs://shop-models/shoes"
    error_message = "Requests may name objects of the brought buckets, and the model is in one."
  }
  assert {
    condition     = { for name, grant in google_storage_bucket_iam_member.worker : name => grant.bucket } == { uploads = "shop-images", payloads = "shop-payloads", models = "shop-models" }
    error_message = "The worker may read the brought buckets."
  }
  assert {
    condition     = toset(values(google_storage_bucket_iam_member.client)[*].bucket) == toset(["shop-images", "shop-payloads"]) && google_storage_bucket_iam_member.builder.bucket == "shop-models" && google_storage_bucket_iam_member.endpoint[0].bucket == "shop-models"
    error_message = "Clients, the builder and the endpoint have their rights on the brought buckets."
  }
  assert {
    condition     = output.buckets == tomap({ uploads = "shop-images", payloads = "shop-payloads", models = "shop-models" }) && output.build.bucket == "shop-models"
    error_message = "The outputs have the brought buckets."
  }
}

run "a_function_in_a_brought_bucket" {
  variables {
    compute         = "function"
    function_source = "topology.yaml"
    existing = {
      buckets          = { models = "shop-models" }
      service_accounts = { builder = "projects/shared/serviceAccounts/builder@shared.iam.gserviceaccount.com" }
    }
  }
  assert {
    condition     = google_storage_bucket_object.function[0].bucket == "shop-models" && google_cloudfunctions2_function.worker[0].build_config[0].service_account == "projects/shared/serviceAccounts/builder@shared.iam.gserviceaccount.com"
    error_message = "A function is built from the brought bucket, by the brought account."
  }
}

run "dataset" {
  variables {
    analysts = { someone = "group:analysts@example.com" }
    kms_key  = { id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
    existing = { datasets = { predictions = "projects/shared/datasets/shop" } }
  }
  assert {
    condition     = length(google_bigquery_dataset.this) == 0 && !contains(keys(google_kms_crypto_key_iam_member.agent), "bigquery")
    error_message = "A brought dataset is not created, and its encryption is its owner's."
  }
  assert {
    condition     = alltrue([for table in concat(google_bigquery_table.responses, google_bigquery_table.answers) : table.project == "shared" && table.dataset_id == "shop"]) && google_pubsub_subscription.bigquery[0].bigquery_config[0].table == "shared.shop.responses"
    error_message = "Responses are written to a table of the brought dataset."
  }
  assert {
    condition     = alltrue([for grant in concat(values(google_bigquery_table_iam_member.analyst), google_bigquery_table_iam_member.pubsub_agent) : grant.project == "shared" && grant.dataset_id == "shop"])
    error_message = "Analysts and Pub/Sub's agent have their rights on the tables."
  }
  assert {
    condition     = output.answers == "shared.shop.answers"
    error_message = "The output has the view in the brought dataset."
  }
}

run "no_rows_in_a_brought_dataset" {
  variables {
    bigquery = false
    existing = { datasets = { predictions = "projects/shared/datasets/shop" } }
  }
  assert {
    condition     = length(google_bigquery_table.responses) == 0 && output.answers == null
    error_message = "Without BigQuery nothing is written to the brought dataset."
  }
}

run "service_accounts" {
  variables {
    http_endpoint = "internal"
    existing = { service_accounts = {
      worker  = "projects/shared/serviceAccounts/scorer@shared.iam.gserviceaccount.com"
      invoker = "projects/shared/serviceAccounts/caller@shared.iam.gserviceaccount.com"
      builder = "projects/shared/serviceAccounts/maker@shared.iam.gserviceaccount.com"
    } }
  }
  assert {
    condition     = keys(google_service_account.this) == ["endpoint"]
    error_message = "A brought account is not created."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].service_account == "scorer@shared.iam.gserviceaccount.com" && google_pubsub_topic_iam_member.answers["worker"].member == "serviceAccount:scorer@shared.iam.gserviceaccount.com" && alltrue([for grant in google_storage_bucket_iam_member.worker : grant.member == "serviceAccount:scorer@shared.iam.gserviceaccount.com"])
    error_message = "The worker runs as the brought account, which has the worker's rights."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].push_config[0].oidc_token[0].service_account_email == "caller@shared.iam.gserviceaccount.com" && google_cloud_run_v2_service_iam_member.invoker[0].member == "serviceAccount:caller@shared.iam.gserviceaccount.com" && google_service_account_iam_member.pubsub_agent[0].service_account_id == "projects/shared/serviceAccounts/caller@shared.iam.gserviceaccount.com"
    error_message = "Pub/Sub pushes as the brought account, whose tokens it may create."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["endpoint"].template[0].containers[0].env : env.name => env.value }["PUSH_SERVICE_ACCOUNT"] == "caller@shared.iam.gserviceaccount.com"
    error_message = "The endpoint accepts pushes of the brought account."
  }
  assert {
    condition     = alltrue([for grant in concat(values(google_project_iam_member.builder), [google_artifact_registry_repository_iam_member.builder, google_storage_bucket_iam_member.builder]) : grant.member == "serviceAccount:maker@shared.iam.gserviceaccount.com"])
    error_message = "The brought account may build."
  }
  assert {
    condition     = output.worker_service_account == "scorer@shared.iam.gserviceaccount.com" && output.build.service_account == "maker@shared.iam.gserviceaccount.com"
    error_message = "The outputs have the brought accounts."
  }
}
