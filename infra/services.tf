# APIs that the other resources need, and Google's service agents, which some grants name.
resource "google_project_service" "this" {
  for_each = toset(concat(
    ["artifactregistry", "cloudbuild", "iam", "logging", "monitoring", "pubsub", "run", "storage"],
    var.bigquery ? ["bigquery"] : [],
    var.budget == null ? [] : ["billingbudgets", "cloudresourcemanager"],
    var.nightly == null ? [] : ["cloudscheduler"],
    var.compute == "function" ? ["cloudfunctions"] : [],
    var.binary_authorization == null ? [] : ["binaryauthorization"],
  ))

  project            = var.project_id
  service            = "${each.value}.googleapis.com"
  disable_on_destroy = false # other users of the project may need it
}

# Service agents are created lazily: in a new project, a grant to one fails unless this resource created it first.
resource "google_project_service_identity" "pubsub" {
  provider = google-beta

  project = var.project_id
  service = google_project_service.this["pubsub"].service
}

# Reading this data source creates Storage's agent.
data "google_storage_project_service_account" "this" {
  project    = var.project_id
  depends_on = [google_project_service.this]
}

locals {
  storage_agent = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}
