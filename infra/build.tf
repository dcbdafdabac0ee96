# The service account that builds the worker's image (cloudbuild.yaml) or the function. Its sources are in the models bucket.
# Rights on the project, because builds log there, and Cloud Functions copies the source to a bucket that it creates itself.
resource "google_project_iam_member" "builder" {
  for_each = merge(
    { "roles/logging.logWriter" = [] },
    var.compute == "function" ? { "roles/storage.objectViewer" = ["resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"] } : {},
  )

  project = var.project_id
  role    = each.key
  member  = local.service_accounts["builder"].member

  dynamic "condition" {
    for_each = each.value
    content {
      title      = "sources of functions"
      expression = condition.value
    }
  }
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectViewer"
  member = local.service_accounts["builder"].member
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = local.service_accounts["builder"].member
}

# With a key, Google requires this right of the agent of Cloud Functions on a repository that it did not create itself.
resource "google_artifact_registry_repository_iam_member" "functions_agent" {
  count = var.compute == "function" && var.kms_key != null ? 1 : 0

  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.admin"
  member     = google_project_service_identity.encrypting["cloudfunctions"].member
}
