# Responses as rows in BigQuery, written by Pub/Sub, and a view with one row per request.
resource "google_bigquery_dataset" "this" {
  count = local.new_dataset ? 1 : 0

  project                    = var.project_id
  dataset_id                 = replace("${local.prefix}predictions", "-", "_")
  location                   = var.region
  delete_contents_on_destroy = false
  labels                     = var.labels

  dynamic "default_encryption_configuration" {
    for_each = var.kms_key == null ? [] : [local.keys["bigquery"]]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }

  # Without this block, every viewer of the project could read the dataset.
  access {
    role          = "OWNER"
    special_group = "projectOwners"
  }

  depends_on = [google_project_service.this]
}

resource "google_bigquery_table" "responses" {
  count = var.bigquery ? 1 : 0

  project             = local.dataset.project
  dataset_id          = local.dataset.id
  table_id            = "responses"
  description         = "Responses as published: several for one request when it was delivered twice."
  schema              = jsonencode(concat(local.columns, local.metadata_columns))
  clustering          = ["request_id"]
  deletion_protection = var.deletion_protection
  labels              = var.labels

  time_partitioning {
    type          = "DAY"
    field         = "publish_time"
    expiration_ms = var.bigquery_days * 24 * 60 * 60 * 1000
  }
}

resource "google_bigquery_table" "answers" {
  count = var.bigquery ? 1 : 0

  project             = local.dataset.project
  dataset_id          = local.dataset.id
  table_id            = "answers"
  description         = "One row per request: its first predictions, or else its first error, unavailable last."
  deletion_protection = var.deletion_protection
  labels              = var.labels

  view {
    query          = templatefile("${path.module}/schemas/answers.sql", { table = local.responses_table })
    use_legacy_sql = false
  }
}

# A reader of the view also needs to read its table.
resource "google_bigquery_table_iam_member" "analyst" {
  for_each = {
    for pair in setproduct(keys(var.analysts), var.bigquery ? ["responses", "answers"] : []) :
    "${pair[1]} ${pair[0]}" => { member = var.analysts[pair[0]], table = pair[1] }
  }

  project    = local.dataset.project
  dataset_id = local.dataset.id
  table_id   = { responses = google_bigquery_table.responses[0], answers = google_bigquery_table.answers[0] }[each.value.table].table_id
  role       = "roles/bigquery.dataViewer"
  member     = each.value.member
}

locals {
  new_dataset = var.bigquery && length(local.brought.datasets) == 0
  dataset = one(concat(
    [for dataset in google_bigquery_dataset.this : { project = dataset.project, id = dataset.dataset_id }],
    [for id in values(local.brought.datasets) : { project = element(split("/", id), 1), id = element(split("/", id), 3) }],
  ))
  responses_table = var.bigquery ? join(".", [local.dataset.project, local.dataset.id, google_bigquery_table.responses[0].table_id]) : null

  # The columns are the fields of response.json, including records. None is REQUIRED, because later columns cannot be.
  response       = jsondecode(file("${path.module}/schemas/response.json")).properties
  bigquery_types = { string = "STRING", integer = "INTEGER", number = "FLOAT", boolean = "BOOLEAN", object = "RECORD" }
  columns = [for name, given in local.response : merge(
    {
      name        = name
      type        = try(given.format, "") == "date-time" ? "TIMESTAMP" : local.bigquery_types[one(setsubtract(flatten([try(given.items.type, given.type)]), ["null"]))]
      mode        = given.type == "array" ? "REPEATED" : "NULLABLE"
      description = try(given.description, "")
    },
    { for key, fields in {
      fields = [for inner, part in try(given.items.properties, given.properties, {}) : {
        name        = inner
        type        = local.bigquery_types[one(setsubtract(flatten([part.type]), ["null"]))]
        mode        = "NULLABLE"
        description = try(part.description, "")
      }]
    } : key => fields if length(fields) > 0 },
  )]
  metadata_columns = [
    { name = "publish_time", type = "TIMESTAMP", mode = "NULLABLE", description = "When the response was published." },
    { name = "message_id", type = "STRING", mode = "NULLABLE", description = "The id of the response's message." },
    { name = "subscription_name", type = "STRING", mode = "NULLABLE", description = "The subscription that wrote the row." },
    { name = "attributes", type = "JSON", mode = "NULLABLE", description = "The message's attributes: request_id, status, model, reply_to." },
  ]
}
