# The worker: a Cloud Run service that only Pub/Sub may call, as the invoker.
locals {
  audience = "${local.prefix}prediction-worker" # a name of our own outlives a change of the service's address

  environment = merge(
    # Whoever may publish a request may name an object: of the buckets that the worker can read, models is not for them.
    { ALLOWED_BUCKETS = join(",", [for name in [local.payloads_bucket, local.uploads_bucket] : google_storage_bucket.this[name].name]) },
    var.settings,
    {
      HTTP_DOOR            = var.http_door ? "on" : "off"
      GOOGLE_CLOUD_PROJECT = var.project_id
      RESPONSE_TOPIC       = google_pubsub_topic.this[local.response_topic].id
      THREADS              = tostring(var.concurrency)
    },
    var.artifact_prefix == null ? {} : {
      ARTIFACT = "gs://${google_storage_bucket.this[local.models_bucket].name}/${var.artifact_prefix}"
    },
    var.ledger ? { LEDGER = "gs://${google_storage_bucket.ledger[0].name}/answers" } : {},
  )
}

resource "google_service_account" "worker" {
  project      = var.project_id
  account_id   = "${local.prefix}prediction-worker"
  display_name = "Reads images, publishes predictions"
  depends_on   = [google_project_service.this]
}

resource "google_service_account" "invoker" {
  project      = var.project_id
  account_id   = "${local.prefix}prediction-invoker"
  display_name = "Whom Pub/Sub is when it calls the worker"
  depends_on   = [google_project_service.this]
}

resource "google_cloud_run_v2_service" "worker" {
  project              = var.project_id
  name                 = "${local.prefix}prediction-worker"
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_INTERNAL_ONLY" # push from the same project counts as internal
  invoker_iam_disabled = false
  custom_audiences     = [local.audience]
  deletion_protection  = var.deletion_protection
  labels               = var.labels

  template {
    service_account                  = google_service_account.worker.email
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = var.concurrency
    labels                           = var.labels

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    containers {
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = tostring(var.cpu), memory = var.memory }
        cpu_idle          = true # pay for requests, not for waiting
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      # Every second, so that the probe itself adds at most one; two minutes for an artifact from the bucket.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 120
        http_get {
          path = "/ready"
          port = 8080
        }
      }
    }
  }

  # A worker that starts must be able to read its artifact, and to store its first answer.
  depends_on = [google_project_service.this, google_storage_bucket_iam_member.worker, google_storage_bucket_iam_member.ledger]
}

resource "google_pubsub_topic_iam_member" "worker" {
  project = var.project_id
  topic   = google_pubsub_topic.this[local.response_topic].name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.worker.member
}

resource "google_storage_bucket_iam_member" "worker" {
  for_each = google_storage_bucket.this

  bucket = each.value.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.worker.member
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  project  = var.project_id
  location = google_cloud_run_v2_service.worker.location
  name     = google_cloud_run_v2_service.worker.name
  role     = "roles/run.invoker"
  member   = google_service_account.invoker.member
}

# Pub/Sub's agent makes the invoker's tokens.
resource "google_service_account_iam_member" "pubsub_agent" {
  service_account_id = google_service_account.invoker.name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = google_project_service_identity.pubsub.member
}
