locals {
  # Bucket names are globally unique. A domain-scoped project id, example.com:shop, has characters that they do not allow.
  bucket_prefix = "${replace(replace(var.project_id, ":", "-"), ".", "-")}-${local.prefix}"

  # Names of new and brought buckets, by their name in topology.yaml.
  buckets = merge({ for name, bucket in google_storage_bucket.this : name => bucket.name }, local.brought.buckets)
}

resource "google_storage_bucket" "this" {
  for_each = { for name, given in local.topology.buckets : name => given if !contains(keys(local.brought.buckets), name) }

  project                     = var.project_id
  name                        = "${local.bucket_prefix}${each.key}"
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

  # What was replaced or deleted in the models bucket can be restored for a month, such as aliases and versions of models.
  dynamic "versioning" {
    for_each = each.key == local.models_bucket ? [true] : []
    content {
      enabled = versioning.value
    }
  }

  dynamic "lifecycle_rule" {
    for_each = each.key == local.models_bucket ? [30] : []
    content {
      action {
        type = "Delete"
      }
      condition {
        days_since_noncurrent_time = lifecycle_rule.value
      }
    }
  }

  # Google's default, also where an organisation's policy has another one: what is deleted for good can be restored for a week.
  dynamic "soft_delete_policy" {
    for_each = each.key == local.models_bucket ? [604800] : []
    content {
      retention_duration_seconds = soft_delete_policy.value
    }
  }

  lifecycle {
    precondition {
      condition     = try(each.value.delete_after_days >= local.message_days, true)
      error_message = "topology_overrides: buckets.${each.key}.delete_after_days is ${try(each.value.delete_after_days, "")}; it must be at least ${local.message_days}, one day more than requests are kept, because requests name its objects."
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_storage_notification" "this" {
  for_each = local.topology.notifications

  bucket         = local.buckets[each.value.bucket]
  topic          = local.topics[each.value.topic].id
  event_types    = each.value.event_types
  payload_format = "JSON_API_V1"

  depends_on = [google_pubsub_topic_iam_member.notification]
}

resource "google_pubsub_topic_iam_member" "notification" {
  for_each = toset([for notification in local.topology.notifications : notification.topic])

  project = local.topics[each.value].project
  topic   = local.topics[each.value].name
  role    = "roles/pubsub.publisher"
  member  = local.storage_agent
}
