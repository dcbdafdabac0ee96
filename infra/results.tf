# Responses to BigQuery: a separate subscription, with separate dead letters for responses that do not fit the table.
resource "google_pubsub_subscription" "bigquery" {
  count = var.bigquery ? 1 : 0

  project                    = var.project_id
  name                       = "${local.prefix}res_predict-bigquery"
  topic                      = local.topics[local.response_topic].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"                         # a week to repair problems with BigQuery
  filter                     = "NOT attributes.kind = \"batch\"" # a list of responses is no row
  labels                     = var.labels

  bigquery_config {
    table               = local.responses_table
    use_table_schema    = true
    write_metadata      = true
    drop_unknown_fields = false # a field without a column makes a visible dead letter instead of being lost
  }

  expiration_policy {
    ttl = ""
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead_bigquery[0].id
    max_delivery_attempts = 20 # outages of BigQuery count as attempts too
  }

  depends_on = [google_bigquery_table_iam_member.pubsub_agent, google_pubsub_topic_iam_member.dead_bigquery]
}

resource "google_pubsub_topic" "dead_bigquery" {
  count = var.bigquery ? 1 : 0

  project      = var.project_id
  name         = "${local.prefix}dead_bigquery"
  kms_key_name = lookup(local.keys, "pubsub", null)
  labels       = var.labels

  dynamic "message_storage_policy" {
    for_each = var.stay_in_region ? [var.region] : []
    content {
      allowed_persistence_regions = [message_storage_policy.value]
    }
  }

  depends_on = [google_project_service.this]
}

# Keeps dead letters for an operator.
resource "google_pubsub_subscription" "dead_bigquery" {
  count = var.bigquery ? 1 : 0

  project                    = var.project_id
  name                       = "${local.prefix}dead_bigquery-sub"
  topic                      = google_pubsub_topic.dead_bigquery[0].id
  ack_deadline_seconds       = 60
  message_retention_duration = "604800s"
  labels                     = var.labels

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub's agent writes the rows and forwards the dead letters.
resource "google_bigquery_table_iam_member" "pubsub_agent" {
  count = var.bigquery ? 1 : 0

  project    = local.dataset.project
  dataset_id = google_bigquery_table.responses[0].dataset_id
  table_id   = google_bigquery_table.responses[0].table_id
  role       = "roles/bigquery.dataEditor"
  member     = google_project_service_identity.pubsub.member
}

resource "google_pubsub_topic_iam_member" "dead_bigquery" {
  count = var.bigquery ? 1 : 0

  project = var.project_id
  topic   = google_pubsub_topic.dead_bigquery[0].name
  role    = "roles/pubsub.publisher"
  member  = google_project_service_identity.pubsub.member
}

resource "google_pubsub_subscription_iam_member" "dead_bigquery" {
  count = var.bigquery ? 1 : 0

  project      = var.project_id
  subscription = google_pubsub_subscription.bigquery[0].name
  role         = "roles/pubsub.subscriber"
  member       = google_project_service_identity.pubsub.member
}
