# A production deployment whose key and clients are created in the same root, with a retention of one week for images.
variable "project_id" { type = string }

variable "image" { type = string }

locals {
  region = "europe-west1"
}

resource "google_project_service" "kms" {
  project            = var.project_id
  service            = "cloudkms.googleapis.com"
  disable_on_destroy = false
}

resource "google_kms_key_ring" "predictions" {
  project    = google_project_service.kms.project
  name       = "predictions"
  location   = local.region
  depends_on = [google_project_service.kms]
}

resource "google_kms_crypto_key" "predictions" {
  name            = "predictions"
  key_ring        = google_kms_key_ring.predictions.id
  rotation_period = "7776000s" # 90 days

  lifecycle {
    prevent_destroy = true # without the key, no stored data can be read
  }
}

resource "google_service_account" "shop" {
  project    = var.project_id
  account_id = "shop"
}

module "pipeline" {
  source     = "../.."
  project_id = var.project_id
  region     = local.region
  image      = var.image

  kms_key        = google_kms_crypto_key.predictions
  stay_in_region = true
  response_store = true
  min_instances  = 1 # billed all day, so that no image waits for a cold start
  max_instances  = 20
  bigquery_days  = 365
  labels         = { environment = "prod" }
  alerts         = { emails = ["oncall@example.com"] }

  clients              = { shop = google_service_account.shop.member }
  client_subscriptions = true
  analysts             = { analysts = "group:analysts@example.com" }

  # Images are deleted after 7 days, so requests are kept for 6.
  topology_overrides = {
    "subscriptions.req_predict-sub.retention"       = "518400s"
    "subscriptions.dead_predict-announce.retention" = "518400s"
    "buckets.uploads.delete_after_days"             = 7
    "buckets.payloads.delete_after_days"            = 7
  }
}

output "pipeline" { value = module.pipeline }
