resource "google_pubsub_topic" "this" {
  for_each = { for name, given in local.topology.topics : name => given if !contains(keys(local.brought.topics), name) }

  project                    = var.project_id
  name                       = "${local.prefix}${each.key}"
  message_retention_duration = try(each.value.retention, null)
  kms_key_name               = lookup(local.keys, "pubsub", null)
  labels                     = var.labels

  dynamic "message_storage_policy" {
    for_each = var.stay_in_region ? [var.region] : []
    content {
      allowed_persistence_regions = [message_storage_policy.value]
    }
  }

  dynamic "schema_settings" {
    for_each = each.key == local.response_topic ? [google_pubsub_schema.response.id] : []
    content {
      schema   = schema_settings.value
      encoding = "JSON"
    }
  }

  depends_on = [google_project_service.this]
}

# Protocol buffers, because JSON for Avro would need a type name for every nullable value.
resource "google_pubsub_schema" "response" {
  project    = var.project_id
  name       = "${local.prefix}response"
  type       = "PROTOCOL_BUFFER"
  definition = file("${path.module}/schemas/response.proto")
  depends_on = [google_project_service.this]
}

locals {
  # New and brought topics, by their name in topology.yaml.
  topics = merge(
    { for name, topic in google_pubsub_topic.this : name => { id = topic.id, project = topic.project, name = topic.name } },
    { for name, id in local.brought.topics : name => { id = id, project = element(split("/", id), 1), name = element(split("/", id), 3) } },
  )

  worker_url = (
    var.compute == "push" ? google_cloud_run_v2_service.this["worker"].uri :
    var.compute == "function" ? google_cloudfunctions2_function.worker[0].service_config[0].uri : null
  )
}

# Subscriptions do not depend on `compute`, so waiting messages survive a switch.
resource "google_pubsub_subscription" "this" {
  for_each = local.subscriptions

  project                    = var.project_id
  name                       = "${local.prefix}${each.key}"
  topic                      = local.topics[each.value.topic].id
  ack_deadline_seconds       = each.value.ack_deadline_seconds
  message_retention_duration = each.value.retention
  filter                     = try(each.value.filter, null)
  labels                     = var.labels

  lifecycle {
    precondition {
      condition     = try(tonumber(trimsuffix(each.value.retry.minimum_backoff, "s")) <= tonumber(trimsuffix(each.value.retry.maximum_backoff, "s")), true)
      error_message = "topology_overrides: subscriptions.${each.key}.retry.minimum_backoff is ${try(each.value.retry.minimum_backoff, "")}; it must be at most maximum_backoff, which is ${try(each.value.retry.maximum_backoff, "")}."
    }
  }

  expiration_policy {
    ttl = "" # never; the default removes a subscription after 31 idle days
  }

  dynamic "retry_policy" { # without one, a failed message is redelivered at once
    for_each = try([each.value.retry], [])
    content {
      minimum_backoff = retry_policy.value.minimum_backoff
      maximum_backoff = retry_policy.value.maximum_backoff
    }
  }

  dynamic "dead_letter_policy" {
    for_each = try([each.value.dead_letter], [])
    content {
      dead_letter_topic     = local.topics[dead_letter_policy.value.topic].id
      max_delivery_attempts = dead_letter_policy.value.max_delivery_attempts
    }
  }

  dynamic "push_config" {
    for_each = each.value.delivery == "worker" && !local.is_pool ? [each.value.path] : []
    content {
      push_endpoint = "${local.worker_url}${push_config.value}"
      oidc_token {
        service_account_email = local.service_accounts["invoker"].email
        audience              = var.compute == "push" ? local.audience : local.worker_url # a function has no custom audiences
      }
    }
  }

  # A push rejected for a missing grant would count as a delivery attempt, and dead letters need their grants too.
  depends_on = [
    google_pubsub_topic_iam_member.dead_letter,
    google_cloud_run_v2_service_iam_member.invoker,
    google_service_account_iam_member.pubsub_agent,
  ]
}

# Pub/Sub's agent forwards dead letters: it publishes them to the dead-letter topic and acks the originals.
resource "google_pubsub_topic_iam_member" "dead_letter" {
  for_each = toset(values(local.dead_lettered))

  project = local.topics[each.value].project
  topic   = local.topics[each.value].name
  role    = "roles/pubsub.publisher"
  member  = google_project_service_identity.pubsub.member
}

resource "google_pubsub_subscription_iam_member" "dead_letter" {
  for_each = local.dead_lettered

  project      = var.project_id
  subscription = google_pubsub_subscription.this[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = google_project_service_identity.pubsub.member
}
