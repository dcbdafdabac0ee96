# Whoever builds: the worker's image in Cloud Build (cloudbuild.yaml), or the function. Its sources lie in the models bucket.
# On the project, because builds log there, and the bucket to which Cloud Functions copies the source is of its own making.
resource "google_project_iam_member" "builder" {
  for_each = merge(
    { "roles/logging.logWriter" = [] },
    var.compute == "function" ? { "roles/storage.objectViewer" = ["resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")"] } : {},
  )

  project = var.project_id
  role    = each.key
  member  = google_service_account.this["builder"].member

  dynamic "condition" {
    for_each = each.value
    content {
      title      = "sources of functions"
      expression = condition.value
    }
  }
}

resource "google_storage_bucket_iam_member" "builder" {
  bucket = google_storage_bucket.this[local.models_bucket].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["builder"].member
}

resource "google_artifact_registry_repository_iam_member" "builder" {
  project    = var.project_id
  location   = google_artifact_registry_repository.images.location
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.this["builder"].member
}
