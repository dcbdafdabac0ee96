locals {
  # Bucket names are globally unique. A domain-scoped project id, example.com:shop, has characters that they do not allow.
  bucket_prefix = "${replace(replace(var.project_id, ":", "-"), ".", "-")}-${local.prefix}"
}

resource "google_storage_bucket" "this" {
  for_each = local.topology.buckets

  project                     = var.project_id
  name                        = "${local.bucket_prefix}${each.key}"
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = false
  labels                      = var.labels

  dynamic "encryption" {
    for_each = lookup(local.keys, "storage", null)[*]
    content {
      default_kms_key_name = encryption.value
    }
  }

  dynamic "lifecycle_rule" {
    for_each = try([each.value.delete_after_days], [])
    content {
      action {
        type = "Delete"
      }
      condition {
        age = lifecycle_rule.value
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_notification" "this" {
  for_each = local.topology.notifications

  bucket         = google_storage_bucket.this[each.value.bucket].name
  topic          = google_pubsub_topic.this[each.value.topic].id
  event_types    = each.value.event_types
  payload_format = "JSON_API_V1"

  depends_on = [google_pubsub_topic_iam_member.notification]
}

resource "google_pubsub_topic_iam_member" "notification" {
  for_each = toset([for notification in local.topology.notifications : notification.topic])

  project = var.project_id
  topic   = google_pubsub_topic.this[each.value].name
  role    = "roles/pubsub.publisher"
  member  = local.storage_agent
}
