# Where the worker's image is pushed.
resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "${local.prefix}images"
  format        = "DOCKER"
  labels        = var.labels
  depends_on    = [google_project_service.this]
}
