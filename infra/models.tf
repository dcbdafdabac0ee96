# Models of the registry (docs/registry.md): which ones are served, who may publish them, and the rights that this needs.
# An alias decides which version is served, so that a new version, a promotion and a rollback change nothing here.
variable "models" {
  description = "Models of the registry that the worker serves instead of an artifact, the default first: `NAME`, or `NAME@ALIAS` unless the alias is `stable`. Each alias must exist before the worker is created. Workers follow an alias that changes; no apply is needed."
  type        = list(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for model in var.models : can(regex("^[a-z0-9][a-z0-9._-]{0,62}(@[a-z][a-z0-9_-]{0,62})?$", model))])
    error_message = "models has ${substr(try([for model in var.models : model == "" ? "an empty name" : coalesce(model, "null") if !can(regex("^[a-z0-9][a-z0-9._-]{0,62}(@[a-z][a-z0-9_-]{0,62})?$", model))][0], ""), 0, 150)}; each must be NAME or NAME@ALIAS, such as clothing or clothing@stable: a fixed version is an artifact_prefix."
  }
  validation {
    condition     = length(distinct([for model in var.models : split("@", coalesce(model, "null"))[0]])) == length(var.models)
    error_message = "models has ${try([for model in var.models : split("@", model)[0] if length([for other in var.models : other if split("@", other)[0] == split("@", model)[0]]) > 1][0], "a model")} twice; name each model once, with the alias that is served."
  }
  validation {
    condition     = length(var.models) == 0 || var.artifact_prefix == null
    error_message = "models is ${substr(join(", ", [for model in var.models : coalesce(model, "null")]), 0, 100)} and artifact_prefix is ${coalesce(var.artifact_prefix, "null")}; the worker serves models of the registry or one artifact: leave one of them out."
  }
}

variable "model_publishers" {
  description = "Members that may push models to the registry, move their aliases and read comparisons, by names of yours, such as `{ team = \"group:models@example.com\" }`: they decide which predictions the deployment makes."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for member in values(var.model_publishers) : can(regex(local.member, member))])
    error_message = "model_publishers has ${try([for name, member in var.model_publishers : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.member, member))][0], "")}; a member must begin with user:, group:, serviceAccount:, principal: or principalSet:."
  }
  validation {
    condition     = length(distinct(values(var.model_publishers))) == length(var.model_publishers)
    error_message = "model_publishers has ${try([for name, member in var.model_publishers : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(var.model_publishers) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
}

locals {
  from_registry = length(var.models) > 0
  registry      = "gs://${local.buckets[local.models_bucket]}/${local.registry_folder}"

  # Cloud Storage checks the right to list with the name of the bucket, and all other rights with that of the object. Who may
  # not list gets 403 instead of 404 for an object that does not exist.
  in_registry = "resource.name == \"projects/_/buckets/${local.buckets[local.models_bucket]}\" || resource.name.startsWith(\"projects/_/buckets/${local.buckets[local.models_bucket]}/objects/${local.registry_folder}/\")"

  # Instead of ARTIFACT.
  registry_settings = local.from_registry ? {
    REGISTRY         = local.registry
    MODELS           = join(",", var.models)
    COMPARISON_TOPIC = local.topics[local.comparison_topic].id
  } : {}
}

resource "google_storage_bucket_iam_member" "registry" {
  for_each = toset(local.from_registry ? local.scorers : [])

  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectViewer"
  member = local.service_accounts[each.value].member

  condition {
    title      = "registry of models"
    expression = local.in_registry
  }
}

resource "google_pubsub_topic_iam_member" "comparisons" {
  for_each = toset(local.from_registry ? local.publishers : [])

  project = local.topics[local.comparison_topic].project
  topic   = local.topics[local.comparison_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_accounts[each.value].member
}

# To create objects, and to replace aliases.json; the bucket keeps what is replaced or deleted (storage.tf).
resource "google_storage_bucket_iam_member" "model_publisher" {
  for_each = var.model_publishers

  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectUser"
  member = each.value

  condition {
    title      = "registry of models"
    expression = local.in_registry
  }
}

resource "google_pubsub_subscription_iam_member" "model_publisher" {
  for_each = var.model_publishers

  project      = var.project_id
  subscription = google_pubsub_subscription.this[local.comparisons].name
  role         = "roles/pubsub.subscriber"
  member       = each.value
}
