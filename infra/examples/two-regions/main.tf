# Two independent deployments in one project, one in each region. Clients choose one by its topics.
variable "project_id" { type = string }

variable "image" { type = string }

locals {
  prefixes = { europe-west1 = "west1", europe-west4 = "west4" }
}

resource "google_project_service" "kms" {
  project            = var.project_id
  service            = "cloudkms.googleapis.com"
  disable_on_destroy = false
}

resource "google_kms_key_ring" "predictions" {
  for_each = local.prefixes

  project    = google_project_service.kms.project
  name       = "predictions"
  location   = each.key
  depends_on = [google_project_service.kms]
}

resource "google_kms_crypto_key" "predictions" {
  for_each = local.prefixes

  name     = "predictions"
  key_ring = google_kms_key_ring.predictions[each.key].id

  lifecycle {
    prevent_destroy = true # without the key, no stored data can be read
  }
}

resource "google_service_account" "shop" {
  project    = var.project_id
  account_id = "shop"
}

module "pipeline" {
  source   = "../.."
  for_each = local.prefixes

  project_id = var.project_id
  region     = each.key
  prefix     = each.value
  image      = var.image
  kms_key    = google_kms_crypto_key.predictions[each.key]
  clients    = { shop = google_service_account.shop.member }
}

output "topics" { value = { for region, pipeline in module.pipeline : region => pipeline.topics } }
