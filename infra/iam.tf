# Service accounts and their common grants; other grants are in the files of their resources. No keys, no default accounts.
locals {
  accounts = { for name, what in {
    worker   = { wanted = true, is = "Reads images, publishes predictions" }
    invoker  = { wanted = true, is = "Identity of Pub/Sub's pushes to the worker" }
    builder  = { wanted = true, is = "Builds the image or the function" }
    nightly  = { wanted = var.nightly != null, is = "Sends requests for new images in a bucket, every night" }
    scaler   = { wanted = var.scale != null, is = "Sets the instance count of the worker pool" }
    endpoint = { wanted = var.http_endpoint != "off", is = "Serves the HTTP endpoint" }
  } : name => what.is if what.wanted }

  # Accounts that score images: each reads models and publishes responses.
  scorers = [for name in ["worker", "endpoint"] : name if contains(keys(local.accounts), name)]
}

resource "google_service_account" "this" {
  for_each = local.accounts

  project      = var.project_id
  account_id   = "${local.prefix}prediction-${each.key}"
  display_name = each.value
  depends_on   = [google_project_service.this]
}

resource "google_pubsub_topic_iam_member" "answers" {
  for_each = toset(local.scorers)

  project = var.project_id
  topic   = google_pubsub_topic.this[local.response_topic].name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.this[each.value].member
}

resource "google_storage_bucket_iam_member" "worker" {
  for_each = google_storage_bucket.this

  bucket = each.value.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["worker"].member
}

resource "google_pubsub_subscription_iam_member" "worker" {
  for_each = { for name, given in local.for_worker : name => given if var.compute == "worker" }

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_service_account.this["worker"].member
}

# Pub/Sub's agent creates the invoker's tokens for pushes.
resource "google_service_account_iam_member" "pubsub_agent" {
  count = var.compute == "worker" ? 0 : 1

  service_account_id = google_service_account.this["invoker"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.pubsub.member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = var.compute == "worker" ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = var.compute == "push" ? google_cloud_run_v2_service.this["worker"].name : google_cloudfunctions2_function.worker[0].name
  role     = "roles/run.invoker"
  member   = google_service_account.this["invoker"].member
}
