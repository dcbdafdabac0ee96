# APIs that the other resources need, and Google's service agents, which some grants name.
resource "google_project_service" "this" {
  for_each = toset(concat(
    ["artifactregistry", "cloudbuild", "cloudresourcemanager", "iam", "logging", "monitoring", "pubsub", "run", "storage"],
    var.bigquery ? ["bigquery"] : [],
    var.budget == null ? [] : ["billingbudgets"],
    var.nightly == null && var.scale == null && var.retrain == null ? [] : ["cloudscheduler"],
    var.compute == "function" ? ["cloudfunctions"] : [],
    var.compute == "function" && var.kms_key != null ? ["eventarc"] : [],
    var.binary_authorization == null ? [] : ["binaryauthorization"],
    var.page == null ? [] : ["iap"],
    var.managed_kafka == null ? [] : ["managedkafka"],
    length(local.kafka_secret) == 0 ? [] : ["secretmanager"],
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

# Data sources name the API that they need in an argument that is known after the first apply. With `depends_on`, Terraform
# would read them only during the apply whenever any API is added, and would replace the grants that name their agents.
locals {
  project_with = { for service, enabled in google_project_service.this : service => split("/", enabled.id)[0] }
}

# Reading this data source creates Storage's agent.
data "google_storage_project_service_account" "this" {
  project = local.project_with["storage"]
}

locals {
  storage_agent = "serviceAccount:${data.google_storage_project_service_account.this.email_address}"
}
