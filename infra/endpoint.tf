# What is the HTTP endpoint's own: who may call it, and how little it can do. Its service is in run.tf.
locals {
  endpoint = {
    HTTP_ENDPOINT = "on"
    # Its callers could post a made-up push as well as an image. Only the invoker's would be taken, whom nobody lets in here.
    PUSH_AUDIENCE        = "${local.prefix}prediction-endpoint"
    PUSH_SERVICE_ACCOUNT = google_service_account.this["invoker"].email
  }
}

# Images come with the request, so of the buckets it reads models alone.
resource "google_storage_bucket_iam_member" "endpoint" {
  count = var.http_endpoint == "off" ? 0 : 1

  bucket = google_storage_bucket.this[local.models_bucket].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["endpoint"].member
}

resource "google_cloud_run_v2_service_iam_member" "endpoint" {
  for_each = var.http_endpoint == "off" ? [] : var.endpoint_callers

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this["endpoint"].name
  role     = "roles/run.invoker"
  member   = each.value
}
