# The worker as a 2nd-gen function: an HTTP function behind the project's push subscription. It has no event trigger, whose
# hidden subscription would have no dead letters and keep messages for only a day.
resource "google_storage_bucket_object" "function" {
  count = var.compute == "function" ? 1 : 0

  bucket = local.buckets[local.models_bucket]
  name   = "functions/${filesha256(var.function_source)}.zip" # the name changes with the source, so that the function is built again
  source = var.function_source
}

resource "google_cloudfunctions2_function" "worker" {
  count = var.compute == "function" ? 1 : 0

  project      = var.project_id
  name         = "${local.prefix}prediction-function"
  location     = var.region
  kms_key_name = lookup(local.keys, "cloudfunctions", null)
  labels       = var.labels

  build_config {
    runtime           = "python311" # the same as in the image
    entry_point       = "serve"
    service_account   = local.service_accounts["builder"].name
    docker_repository = google_artifact_registry_repository.images.id
    worker_pool       = var.build_pool
    source {
      storage_source {
        bucket = google_storage_bucket_object.function[0].bucket
        object = google_storage_bucket_object.function[0].name
      }
    }
  }

  service_config {
    service_account_email            = local.service_accounts["worker"].email
    ingress_settings                 = "ALLOW_INTERNAL_ONLY"
    vpc_connector                    = var.vpc_connector
    vpc_connector_egress_settings    = var.vpc_connector == null ? null : "ALL_TRAFFIC"
    binary_authorization_policy      = var.binary_authorization
    all_traffic_on_latest_revision   = true
    timeout_seconds                  = var.timeout_seconds
    max_instance_request_concurrency = var.concurrency
    min_instance_count               = var.min_instances
    max_instance_count               = var.max_instances
    available_cpu                    = tostring(var.cpu)
    available_memory                 = var.memory
    environment_variables            = local.environment
  }

  depends_on = [
    google_project_iam_member.builder,
    google_artifact_registry_repository_iam_member.builder,
    google_artifact_registry_repository_iam_member.functions_agent,
    google_storage_bucket_iam_member.worker,
    google_storage_bucket_iam_member.response_store,
    google_storage_bucket_iam_member.registry,
    google_pubsub_topic_iam_member.comparisons,
    google_pubsub_topic_iam_member.answers,
  ]
}
