# Where the worker's image is pushed, and a function's too. Tags may move, because a function's do: deploy by digest.
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
    action = "KEEP" # however old: what runs, and what one may want to go back to
    most_recent_versions {
      keep_count = 20
    }
  }

  depends_on = [google_project_service.this]
}
