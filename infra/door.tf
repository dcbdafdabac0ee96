# What is the HTTP door's own: who may call it, and how little it can do. Its service is in run.tf.
locals {
  door = {
    HTTP_DOOR = "on"
    # Its callers could post a made-up push as well as an image. Only the invoker's would be taken, whom nobody lets in here.
    PUSH_AUDIENCE        = "${local.prefix}prediction-door"
    PUSH_SERVICE_ACCOUNT = google_service_account.this["invoker"].email
  }
}

# Images come with the request, so of the buckets it reads models alone.
resource "google_storage_bucket_iam_member" "door" {
  count = var.http_door == "off" ? 0 : 1

  bucket = google_storage_bucket.this[local.models_bucket].name
  role   = "roles/storage.objectViewer"
  member = google_service_account.this["door"].member
}

resource "google_cloud_run_v2_service_iam_member" "door" {
  for_each = var.http_door == "off" ? [] : var.door_callers

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.this["door"].name
  role     = "roles/run.invoker"
  member   = each.value
}
