# Rights to send images and read responses.
resource "google_pubsub_topic_iam_member" "client" {
  for_each = var.clients

  project = local.topics[local.request_topic].project
  topic   = local.topics[local.request_topic].name
  role    = "roles/pubsub.publisher"
  member  = each.value
}

resource "google_pubsub_subscription_iam_member" "client" {
  for_each = var.clients

  project      = var.project_id
  subscription = google_pubsub_subscription.this[local.shared_answers].name
  role         = "roles/pubsub.subscriber"
  member       = each.value
}

resource "google_storage_bucket_iam_member" "client" {
  for_each = {
    for pair in setproduct(keys(var.clients), [local.uploads_bucket, local.payloads_bucket]) :
    "${pair[1]} ${pair[0]}" => { member = var.clients[pair[0]], bucket = pair[1] }
  }

  bucket = local.buckets[each.value.bucket]
  role   = "roles/storage.objectCreator"
  member = each.value.member
}

# Rights for a client's own filtered subscription, for which Google has no narrow role. Pub/Sub has no conditions by name, so
# they cover every subscription of the project.
variable "client_subscriptions" {
  description = "Let each of `clients` create, read and delete subscriptions of the project, for a response subscription of its own; otherwise they share `res_predict-sub`. With it a client can read every subscription of the project."
  type        = bool
  default     = false
  nullable    = false
}

resource "google_project_iam_custom_role" "client" {
  count = var.client_subscriptions || var.page != null ? 1 : 0

  project     = var.project_id
  role_id     = replace("${local.prefix}prediction_client", "-", "_")
  title       = "${local.prefix}prediction client"
  description = "Create, read and delete a response subscription."
  permissions = ["pubsub.subscriptions.consume", "pubsub.subscriptions.create", "pubsub.subscriptions.delete"]
  depends_on  = [google_project_service.this]
}

resource "google_project_iam_member" "client" {
  for_each = var.client_subscriptions ? var.clients : {}

  project = var.project_id
  role    = google_project_iam_custom_role.client[0].name
  member  = each.value
}

resource "google_pubsub_topic_iam_member" "client_subscription" {
  for_each = var.client_subscriptions ? var.clients : {}

  project = local.topics[local.response_topic].project
  topic   = local.topics[local.response_topic].name
  role    = "roles/pubsub.subscriber" # on a topic: to attach subscriptions
  member  = each.value
}
