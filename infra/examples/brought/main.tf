# A deployment that uses topics, a bucket, a dataset and service accounts that another part of the root, or of the company,
# owns. Everything else is created, and all grants are.
variable "project_id" { type = string }

variable "image" { type = string }

resource "google_pubsub_topic" "images" {
  project                    = var.project_id
  name                       = "shop-images"
  message_retention_duration = "86400s"
}

resource "google_pubsub_topic" "predictions" {
  project                    = var.project_id
  name                       = "shop-predictions"
  message_retention_duration = "86400s"
}

resource "google_storage_bucket" "images" {
  project                     = var.project_id
  name                        = "${var.project_id}-shop-images"
  location                    = "europe-west1"
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
}

resource "google_bigquery_dataset" "shop" {
  project    = var.project_id
  dataset_id = "shop"
  location   = "europe-west1"
}

resource "google_service_account" "this" {
  for_each = toset(["worker", "invoker", "builder"])

  project    = var.project_id
  account_id = "shop-${each.value}"
}

module "pipeline" {
  source     = "../.."
  project_id = var.project_id
  image      = var.image

  existing = {
    topics           = { req_predict = google_pubsub_topic.images.id, res_predict = google_pubsub_topic.predictions.id }
    buckets          = { uploads = google_storage_bucket.images.name }
    datasets         = { predictions = google_bigquery_dataset.shop.id }
    service_accounts = { for name, account in google_service_account.this : name => account.id }
  }
}

output "pipeline" { value = module.pipeline }
