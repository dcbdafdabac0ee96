variable "project_id" {
  description = "Project id of the deployment."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9.-]*[.][a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id is ${var.project_id}; it must be a project's id (6 to 30 lower-case letters, digits or hyphens, perhaps after a domain as in example.com:shop), not its name or number."
  }
}

variable "region" {
  description = "Region of the worker, the buckets and the image repository."
  type        = string
  default     = "europe-west1"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region is ${var.region}; it must be a region such as europe-west1, not a zone or a multi-region."
  }
}

variable "prefix" {
  description = "Prefix of every name, so that one project can hold several environments. Names of buckets are global: project `shop` with the prefix `dev` and a project `shop-dev` without one would have the same."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = can(regex("^([a-z][a-z0-9]{0,10})?$", var.prefix))
    error_message = "prefix is ${var.prefix}; it must be at most 11 lower-case letters and digits, starting with a letter; the hyphen after it is added."
  }
  validation {
    condition     = var.http_endpoint == "off" || length(var.prefix) <= 10
    error_message = "prefix is ${var.prefix}; with http_endpoint it must be at most 10 characters: the id of the endpoint's service account, ${var.prefix}-prediction-endpoint, may have 30."
  }
  validation {
    condition     = !startswith(var.prefix, "goog") && !strcontains(var.prefix, "google")
    error_message = "prefix is ${var.prefix}; it must not begin with goog or contain google: Pub/Sub and Cloud Storage reserve such names."
  }
}

variable "compute" {
  description = "How the worker runs: `push`, a Cloud Run service that Pub/Sub pushes to; `worker`, a Cloud Run worker pool that pulls; `function`, a 2nd-gen function; `kafka`, a worker pool that consumes Kafka's topics instead of Pub/Sub's ([Kafka](../docs/kafka.md))."
  type        = string
  default     = "push"
  nullable    = false
  validation {
    condition     = contains(["push", "worker", "function", "kafka"], var.compute)
    error_message = "compute is ${var.compute}; it must be push, worker, function or kafka."
  }
}

variable "image" {
  description = "Container image of the worker, in production by digest; a function needs none, except for an HTTP endpoint or a nightly job."
  type        = string
  default     = null
  validation {
    condition     = var.image == null ? var.compute == "function" && var.http_endpoint == "off" && var.nightly == null : can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]+)?$", var.image))
    error_message = "image is ${try(substr(var.image, 0, 100), "null")}; it must be a full name with its registry, such as europe-west1-docker.pkg.dev/PROJECT/images/worker@sha256:..."
  }
}

variable "function_source" {
  description = "Archive that a function is built from; `make package` writes it."
  type        = string
  default     = "../build/package/function-source.zip"
  nullable    = false
  validation {
    condition     = var.compute != "function" || can(filesha256(var.function_source))
    error_message = "function_source is ${var.function_source}, which is not a file; make package writes build/package/function-source.zip. A module's caller must give its own path, such as one below path.root."
  }
}

variable "artifact_prefix" {
  description = "Prefix of the artifact in the models bucket; without it the worker serves the one in the image."
  type        = string
  default     = null
  validation {
    condition     = var.artifact_prefix == null ? true : can(regex("^[^/].*[^/]$", var.artifact_prefix)) && !startswith(coalesce(var.artifact_prefix, "-"), "gs:")
    error_message = "artifact_prefix must be a path inside the models bucket, such as fashion-mnist/3, without gs:// and without a slash at either end."
  }
}

variable "settings" {
  description = "Further environment variables of the worker, such as `ENGINE` or `MAX_BATCH_SIZE`."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for name in keys(var.settings) : can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))])
    error_message = "settings has ${substr(try([for name in keys(var.settings) : jsonencode(name) if !can(regex("^[A-Za-z_][A-Za-z0-9_]*$", name))][0], ""), 0, 140)}; names must be letters, digits and _, and must not start with a digit."
  }
  validation {
    condition     = alltrue([for value in values(var.settings) : value != null])
    error_message = "settings has ${substr(try([for name, value in var.settings : name if value == null][0], ""), 0, 100)} = null; a value must be a string: leave the name out instead."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), keys(local.set_elsewhere))) == 0
    error_message = "settings has ${join(", ", [for name in keys(var.settings) : "${name} (set by ${local.set_elsewhere[name]})" if can(local.set_elsewhere[name])])}; it must contain only names that nothing else sets."
  }
  validation {
    condition     = alltrue([for name in keys(var.settings) : !can(regex(local.reserved, name))])
    error_message = "settings has ${substr(try([for name in keys(var.settings) : name if can(regex(local.reserved, name))][0], ""), 0, 100)}; Google sets this itself and refuses PORT, K_SERVICE, K_REVISION, K_CONFIGURATION, FUNCTION_TARGET, FUNCTION_SIGNATURE_TYPE, CLOUD_RUN_... and X_GOOGLE_..."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"])) == 0
    error_message = "settings has PUSH_AUDIENCE or PUSH_SERVICE_ACCOUNT, which must not be set: Cloud Run verifies push tokens itself and forwards them without their signature, so the worker would reject all of them."
  }
  validation {
    condition     = contains(["DEBUG", "INFO"], coalesce(lookup(var.settings, "LOG_LEVEL", "INFO"), "INFO"))
    error_message = "settings has LOG_LEVEL = ${coalesce(lookup(var.settings, "LOG_LEVEL", "INFO"), "INFO")}; it must be DEBUG or INFO, because alerts and charts need the worker's log lines."
  }
}

locals {
  # Environment variables of the worker that other inputs set, and names that Cloud Run and Cloud Functions keep for themselves.
  set_elsewhere = {
    ARTIFACT             = "artifact_prefix"
    COMPARISON_TOPIC     = "models"
    DEAD_SUBSCRIPTION    = "compute"
    DEVICE               = "gpu"
    GOOGLE_CLOUD_PROJECT = "project_id"
    DEAD_TOPIC           = "prefix"
    HTTP_ENDPOINT        = "http_endpoint"
    KAFKA_BOOTSTRAP      = "kafka"
    KAFKA_CONFIG         = "kafka"
    KAFKA_MAX_ATTEMPTS   = "topology_overrides"
    KAFKA_MAX_BACKOFF_S  = "topology_overrides"
    KAFKA_MIN_BACKOFF_S  = "topology_overrides"
    KAFKA_OAUTH          = "managed_kafka"
    MODELS               = "models"
    REGISTRY             = "models"
    REQUEST_SUBSCRIPTION = "compute"
    REQUEST_TOPIC        = "prefix"
    RESPONSE_STORE       = "response_store"
    RESPONSE_TOPIC       = "prefix"
    THREADS              = "concurrency"
  }
  reserved = "^(PORT|K_SERVICE|K_REVISION|K_CONFIGURATION|FUNCTION_TARGET|FUNCTION_SIGNATURE_TYPE|CLOUD_RUN_.*|X_GOOGLE_.*)$"
}

variable "http_endpoint" {
  description = "Serve `POST /predict` with a service of its own: `internal`, for callers inside the project; `anywhere`. Only `endpoint_callers` have access."
  type        = string
  default     = "off"
  nullable    = false
  validation {
    condition     = contains(["off", "internal", "anywhere"], var.http_endpoint)
    error_message = "http_endpoint is ${var.http_endpoint}; it must be off, internal or anywhere."
  }
}

variable "endpoint_callers" {
  description = "Members that may call the HTTP endpoint, by names of yours, such as `{ shop = \"serviceAccount:someone@example.com\" }`; nobody else has access."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for member in values(var.endpoint_callers) : can(regex(local.member, member))])
    error_message = "endpoint_callers has ${try([for name, member in var.endpoint_callers : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.member, member))][0], "")}; a member must begin with user:, group:, serviceAccount:, principal: or principalSet:. Public access is not supported."
  }
  validation {
    condition     = length(distinct(values(var.endpoint_callers))) == length(var.endpoint_callers)
    error_message = "endpoint_callers has ${try([for name, member in var.endpoint_callers : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(var.endpoint_callers) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
}

variable "response_store" {
  description = "Store each response in a bucket of its own before it is published, so that all copies are equal: one write to Cloud Storage per request, about $5 per million."
  type        = bool
  default     = false
  nullable    = false
}

variable "clients" {
  description = "Members that may send images and read responses, by names of yours, such as `{ someone = \"user:someone@example.com\" }`."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for member in values(var.clients) : can(regex(local.member, member))])
    error_message = "clients has ${try([for name, member in var.clients : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.member, member))][0], "")}; a member must begin with user:, group:, serviceAccount:, principal: or principalSet:. Public access is not supported."
  }
  validation {
    condition     = length(distinct(values(var.clients))) == length(var.clients)
    error_message = "clients has ${try([for name, member in var.clients : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(var.clients) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
}

variable "bigquery" {
  description = "Write every response to a table in BigQuery."
  type        = bool
  default     = true
  nullable    = false
}

variable "bigquery_days" {
  description = "Days that BigQuery keeps responses."
  type        = number
  default     = 90
  nullable    = false
  validation {
    condition     = var.bigquery_days >= 1 && floor(var.bigquery_days) == var.bigquery_days
    error_message = "bigquery_days is ${var.bigquery_days}; it must be a whole number of at least 1."
  }
}

variable "analysts" {
  description = "Members that may read the responses in BigQuery, by names of yours; to run queries they also need `roles/bigquery.jobUser` on a project."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for member in values(var.analysts) : can(regex(local.member, member))])
    error_message = "analysts has ${try([for name, member in var.analysts : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.member, member))][0], "")}; a member must begin with user:, group:, serviceAccount:, principal: or principalSet:."
  }
  validation {
    condition     = length(distinct(values(var.analysts))) == length(var.analysts)
    error_message = "analysts has ${try([for name, member in var.analysts : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(var.analysts) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
}

variable "kms_key" {
  description = "Key in Cloud KMS that encrypts all stored data, by its full name: `{ id = \"projects/P/locations/L/keyRings/R/cryptoKeys/K\" }`, or the resource itself. Choose it before the first apply, and a separate one for each environment: destroying an environment removes the grants on its key."
  type        = object({ id = string })
  default     = null
  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key.id))
    error_message = "kms_key.id is ${try(coalesce(var.kms_key.id), "null")}; it must be projects/P/locations/L/keyRings/R/cryptoKeys/K, where L is the region."
  }
}

variable "subnetwork" {
  description = "Full name of a subnetwork for all outgoing traffic of worker and endpoint; it needs Private Google Access, and in another project `roles/compute.networkUser` for Cloud Run's agent."
  type        = string
  default     = null
  validation {
    condition     = var.subnetwork == null ? true : can(regex("^projects/[^/]+/regions/${var.region}/subnetworks/[^/]+$", var.subnetwork))
    error_message = "subnetwork must be projects/P/regions/R/subnetworks/S, where R is the region."
  }
  validation {
    condition     = var.subnetwork == null || var.compute != "function"
    error_message = "subnetwork needs compute push, worker or kafka: a function uses vpc_connector."
  }
}

variable "stay_in_region" {
  description = "Let Pub/Sub store messages in this region only; otherwise it stores them near the publisher."
  type        = bool
  default     = false
  nullable    = false
}

variable "labels" {
  description = "Labels on every resource that supports them, in the form that Google requires: lower case, at most 63 characters for a key or a value."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for key, value in var.labels : can(regex(local.label, "${key}=${value}"))])
    error_message = "labels has ${substr(try([for key, value in var.labels : "${key}=${value == null ? "null" : value}" if !can(regex(local.label, "${key}=${value}"))][0], ""), 0, 140)}; keys and values must be at most 63 lower-case letters, digits, _ and -, and a key must start with a letter."
  }
  validation {
    condition     = length(var.labels) <= 64
    error_message = "labels has ${length(var.labels)} labels; Google allows at most 64."
  }
}

locals {
  member = "^(user|group|serviceAccount|principal|principalSet):.+"
  label  = "^[\\p{Ll}\\p{Lo}][\\p{Ll}\\p{Lo}\\p{N}_-]{0,62}=[\\p{Ll}\\p{Lo}\\p{N}_-]{0,63}$"
}

variable "deletion_protection" {
  description = "Protect services, and the tables in BigQuery, from being destroyed."
  type        = bool
  default     = true
  nullable    = false
}
