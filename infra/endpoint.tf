# Settings, grants and callers of the HTTP endpoint. Its service is in run.tf.
locals {
  endpoint = {
    HTTP_ENDPOINT = "on"
    # Its callers could also post a forged push. Only the invoker's are accepted, and no caller can act as the invoker.
    PUSH_AUDIENCE        = "${local.prefix}prediction-endpoint"
    PUSH_SERVICE_ACCOUNT = local.service_accounts["invoker"].email
  }
}

# Requests contain their images, so the endpoint needs to read only the models bucket, or the registry in it (models.tf).
resource "google_storage_bucket_iam_member" "endpoint" {
  count = var.http_endpoint == "off" || local.from_registry ? 0 : 1

  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectViewer"
  member = local.service_accounts["endpoint"].member
}

resource "google_cloud_run_v2_service_iam_member" "endpoint" {
  for_each = var.http_endpoint == "off" ? {} : var.endpoint_callers

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this["endpoint"].name
  role     = "roles/run.invoker"
  member   = each.value
}
