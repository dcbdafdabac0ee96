# The interfaces that everything else needs, and Google's own agents, to whom some grants go.
resource "google_project_service" "this" {
  for_each = toset(concat(
    ["artifactregistry", "cloudbuild", "iam", "logging", "monitoring", "pubsub", "run", "storage"],
    var.bigquery ? ["bigquery"] : [],
    var.budget == null ? [] : ["billingbudgets", "cloudresourcemanager"],
    var.nightly == null ? [] : ["cloudscheduler"],
    var.compute == "function" ? ["cloudfunctions"] : [],
  ))

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false # others in the project may use it
}

# Agents are made lazily: on a new project a grant to one fails unless it was asked for first.
resource "google_project_service_identity" "pubsub" {
  provider = google-beta

  project = var.project_id
  service = google_project_service.this["pubsub"].service
}

# Asking for the storage agent makes it.
data "google_storage_project_service_account" "this" {
  project    = var.project_id
  depends_on = [google_project_service.this]
}

locals {
  storage_agent = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}
