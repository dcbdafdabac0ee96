# The repository of the worker's image and of function images. Tags are mutable, because functions need it: deploy by digest.
resource "google_artifact_registry_repository" "images" {
  project       = var.project_id
  location      = var.region
  repository_id = "${local.prefix}images"
  format        = "DOCKER"
  kms_key_name  = lookup(local.keys, "artifactregistry", null)
  labels        = var.labels

  cleanup_policies {
    id     = "old"
    action = "DELETE"
    condition {
      older_than = "7776000s" # 90 days
    }
  }

  cleanup_policies {
    id     = "newest"
    action = "KEEP" # at any age: the deployed image and candidates for a rollback
    most_recent_versions {
      keep_count = 20
    }
  }

  depends_on = [google_project_service.this]
}
