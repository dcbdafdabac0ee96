# Rights to send images and read responses. A client's own filtered subscription also needs a right on the project: README.md.
resource "google_pubsub_topic_iam_member" "client" {
  for_each = var.clients

  project = var.project_id
  topic   = google_pubsub_topic.this[local.request_topic].name
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
    for pair in setproduct(var.clients, [local.uploads_bucket, local.payloads_bucket]) :
    "${pair[1]} ${pair[0]}" => { member = pair[0], bucket = pair[1] }
  }

  bucket = google_storage_bucket.this[each.value.bucket].name
  role   = "roles/storage.objectCreator"
  member = each.value.member
}
