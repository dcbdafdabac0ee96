# Service accounts and their common grants; other grants are in the files of their resources. No keys, no default accounts.
locals {
  account_purposes = {
    worker   = "Reads images, publishes predictions"
    invoker  = "Identity of Pub/Sub's pushes to the worker"
    builder  = "Builds the image or the function"
    nightly  = "Sends requests for new images in a bucket, every night"
    scaler   = "Sets the instance count of the worker pool"
    trainer  = "Trains models on request"
    endpoint = "Serves the HTTP endpoint"
    page     = "Serves the page"
  }
  unwanted_accounts = concat(
    var.nightly == null ? ["nightly"] : [],
    var.scale == null ? ["scaler"] : [],
    var.retrain == null ? ["trainer"] : [],
    var.http_endpoint == "off" ? ["endpoint"] : [],
    var.page == null ? ["page"] : [],
  )
  accounts = { for name, purpose in local.account_purposes : name => purpose if !contains(local.unwanted_accounts, name) }

  # Accounts that score images: each reads models and publishes responses.
  scorers = [for name in ["worker", "endpoint"] : name if contains(keys(local.accounts), name)]

  # Those that publish to Pub/Sub: over Kafka the worker does not.
  publishers = [for name in local.scorers : name if name != "worker" || var.compute != "kafka"]
}

resource "google_service_account" "this" {
  for_each = { for name, purpose in local.accounts : name => purpose if !contains(keys(local.brought.service_accounts), name) }

  project      = var.project_id
  account_id   = "${local.prefix}prediction-${each.key}"
  display_name = each.value
  depends_on   = [google_project_service.this]
}

# New and brought accounts.
locals {
  service_accounts = merge(
    { for name, account in google_service_account.this : name => { name = account.name, email = account.email, member = account.member } },
    { for name, id in local.brought.service_accounts : name => { name = id, email = element(split("/", id), 3), member = "serviceAccount:${element(split("/", id), 3)}" } },
  )
}

resource "google_pubsub_topic_iam_member" "answers" {
  for_each = toset(local.publishers)

  project = local.topics[local.response_topic].project
  topic   = local.topics[local.response_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_accounts[each.value].member
}

resource "google_storage_bucket_iam_member" "worker" {
  for_each = { for name, given in local.topology.buckets : name => given if name != local.models_bucket || !local.from_registry }

  bucket = local.buckets[each.key]
  role   = "roles/storage.objectViewer"
  member = local.service_accounts["worker"].member
}

resource "google_pubsub_subscription_iam_member" "worker" {
  for_each = { for name, given in local.for_worker : name => given if var.compute == "worker" }

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.service_accounts["worker"].member
}

# Pub/Sub's agent creates the invoker's tokens for pushes.
resource "google_service_account_iam_member" "pubsub_agent" {
  count = local.is_pool ? 0 : 1

  service_account_id = local.service_accounts["invoker"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.pubsub.member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  count = local.is_pool ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = var.compute == "push" ? google_cloud_run_v2_service.this["worker"].name : google_cloudfunctions2_function.worker[0].name
  role     = "roles/run.invoker"
  member   = local.service_accounts["invoker"].member
}
