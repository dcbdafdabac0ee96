# The store of each response before it is published, so that all its copies are equal; only with var.response_store.
resource "google_storage_bucket" "response_store" {
  count = var.response_store ? 1 : 0

  project                     = var.project_id
  name                        = "${local.bucket_prefix}response-store"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  dynamic "encryption" {
    for_each = var.kms_key == null ? [] : [local.keys["storage"]]
    content {
      default_kms_key_name = encryption.value
    }
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age = local.message_days # a redelivery must find its response
    }
  }

  soft_delete_policy {
    retention_duration_seconds = 0 # responses are never restored, and soft delete would cost another week of storage
  }

  depends_on = [google_project_service.this]
}

# To create and read but not replace objects: the first response stays.
resource "google_storage_bucket_iam_member" "response_store" {
  for_each = {
    for pair in setproduct(local.scorers, ["roles/storage.objectCreator", "roles/storage.objectViewer"]) :
    "${pair[0]} ${pair[1]}" => { account = pair[0], role = pair[1] } if var.response_store
  }

  bucket = google_storage_bucket.response_store[0].name
  role   = each.value.role
  member = local.service_accounts[each.value.account].member
}
