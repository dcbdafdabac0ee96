# Each output waits for the grants that its resource needs to work.
output "topics" {
  description = "Full names of the topics by their name in topology.yaml."
  value       = tomap({ for name, topic in local.topics : name => topic.id })
  depends_on  = [google_pubsub_topic_iam_member.answers, google_pubsub_topic_iam_member.client, google_pubsub_topic_iam_member.client_subscription, google_pubsub_topic_iam_member.dead_letter, google_pubsub_topic_iam_member.training_requester]
}

output "subscriptions" {
  description = "Full names of the subscriptions by their name in topology.yaml."
  value       = tomap({ for name, subscription in google_pubsub_subscription.this : name => subscription.id })
  depends_on  = [google_pubsub_subscription_iam_member.dead_letter, google_pubsub_subscription_iam_member.client, google_project_iam_member.client]
}

output "buckets" {
  description = "Names of the buckets by their name in topology.yaml."
  value       = tomap(local.buckets)
  depends_on  = [google_storage_notification.this, google_storage_bucket_iam_member.worker, google_storage_bucket_iam_member.client]
}

output "registry" {
  description = "Address of the registry of models, for `--registry` of `predictions model`."
  value       = local.registry
  depends_on  = [google_storage_bucket_iam_member.model_publisher, google_pubsub_subscription_iam_member.model_publisher]
}

output "topology" {
  description = "topology.yaml as it is deployed, in JSON: with overrides and the full names of topics, for `predictions doctor --topology`."
  value       = jsonencode(merge(local.topology, { topics = { for name, given in local.topology.topics : name => merge(given, { name = local.topics[name].id }) } }))
}

output "worker_url" {
  description = "Address that Pub/Sub pushes requests to; null when the worker pulls."
  value       = local.worker_url
  depends_on  = [google_cloud_run_v2_service_iam_member.invoker]
}

output "endpoint_url" {
  description = "Address of the HTTP endpoint; null when it is closed."
  value       = one([for name, service in google_cloud_run_v2_service.this : service.uri if name == "endpoint"])
  depends_on  = [google_cloud_run_v2_service_iam_member.endpoint]
}

output "http_endpoint" {
  description = "Callers of the HTTP endpoint: off, internal or anywhere."
  value       = var.http_endpoint
}

output "worker_service_account" {
  description = "Email of the worker's service account, for further grants."
  value       = local.service_accounts["worker"].email
}

output "answers" {
  description = "The view in BigQuery with one row per request; null without BigQuery."
  value       = one([for view in google_bigquery_table.answers : join(".", [view.project, view.dataset_id, view.table_id])])
  depends_on  = [google_bigquery_table_iam_member.analyst, google_pubsub_subscription_iam_member.dead_bigquery, google_pubsub_topic_iam_member.dead_bigquery]
}

output "images" {
  description = "Registry for the worker's image."
  value       = "${var.region}-docker.pkg.dev/${replace(var.project_id, ":", "/")}/${google_artifact_registry_repository.images.repository_id}"
  depends_on  = [google_artifact_registry_repository_iam_member.builder, google_project_iam_member.builder, google_storage_bucket_iam_member.builder]
}

output "build" {
  description = "What builds the image: the bucket of its sources, which has the artifacts too, and the service account."
  value       = { bucket = local.buckets[local.models_bucket], service_account = local.service_accounts["builder"].email }
  depends_on  = [google_artifact_registry_repository_iam_member.builder, google_project_iam_member.builder, google_storage_bucket_iam_member.builder]
}

output "deployed" {
  description = "The deployment: region and compute of the worker, and the artifact or the models of the registry that it serves, and whether there is a page."
  value       = { region = var.region, compute = var.compute, artifact_prefix = var.artifact_prefix, models = var.models, page = var.page == null ? "off" : "on" }
  # After the worker, because the first stage of a deployment does not know the model.
  depends_on = [google_cloud_run_v2_service.this, google_cloud_run_v2_worker_pool.worker, google_cloudfunctions2_function.worker]
}

output "image" {
  description = "The image that runs; null without one."
  value = one(distinct(concat(
    [for service in google_cloud_run_v2_service.this : service.template[0].containers[0].image],
    [for pool in google_cloud_run_v2_worker_pool.worker : pool.template[0].containers[0].image],
  )))
}
