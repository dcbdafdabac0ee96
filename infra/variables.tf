variable "project_id" {
  description = "Project id of the deployment."
  type        = string
  validation {
    condition     = can(regex("^([a-z0-9][a-z0-9.-]*[.][a-z]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project_id))
    error_message = "project_id must be a project's id (6 to 30 lower-case letters, digits or hyphens, perhaps after a domain as in example.com:shop), not its name or number."
  }
}

variable "region" {
  description = "Region of the worker, the buckets and the image repository."
  type        = string
  default     = "europe-west1"
  nullable    = false
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region must be a region such as europe-west1, not a zone or a multi-region."
  }
}

variable "prefix" {
  description = "Prefix of every name, so that one project can hold several environments."
  type        = string
  default     = ""
  nullable    = false
  validation {
    condition     = can(regex("^([a-z][a-z0-9]{0,10})?$", var.prefix))
    error_message = "prefix must be at most 11 lower-case letters and digits, starting with a letter; the hyphen after it is added."
  }
}

variable "compute" {
  description = "How the worker runs: `push`, a Cloud Run service that Pub/Sub pushes to; `worker`, a Cloud Run worker pool that pulls; `function`, a 2nd-gen function."
  type        = string
  default     = "push"
  nullable    = false
  validation {
    condition     = contains(["push", "worker", "function"], var.compute)
    error_message = "compute must be push, worker or function."
  }
}

variable "image" {
  description = "Container image of the worker, in production by digest; a function needs none, except for an HTTP endpoint or a nightly job."
  type        = string
  default     = null
  validation {
    condition     = var.image == null ? var.compute == "function" && var.http_endpoint == "off" && var.nightly == null : can(regex("^[a-z0-9.-]+(:[0-9]+)?/.+", var.image))
    error_message = "image must be a full name with its registry, such as europe-west1-docker.pkg.dev/PROJECT/images/worker@sha256:..."
  }
}

variable "function_source" {
  description = "Archive that a function is built from; `make package` writes it."
  type        = string
  default     = "../build/package/function-source.zip"
  nullable    = false
  validation {
    condition     = var.compute != "function" || fileexists(var.function_source)
    error_message = "function_source does not exist; make package writes build/package/function-source.zip."
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
    condition     = length(setintersection(keys(var.settings), ["ARTIFACT", "GOOGLE_CLOUD_PROJECT", "HTTP_ENDPOINT", "RESPONSE_STORE", "PORT", "RESPONSE_TOPIC", "THREADS"])) == 0
    error_message = "settings must not contain variables that other inputs set: ARTIFACT (artifact_prefix), HTTP_ENDPOINT (http_endpoint), RESPONSE_STORE (response_store), THREADS (concurrency), RESPONSE_TOPIC, GOOGLE_CLOUD_PROJECT, PORT."
  }
  validation {
    condition     = length(setintersection(keys(var.settings), ["PUSH_AUDIENCE", "PUSH_SERVICE_ACCOUNT"])) == 0
    error_message = "settings must not contain PUSH_AUDIENCE or PUSH_SERVICE_ACCOUNT: Cloud Run verifies push tokens itself and forwards them without their signature, so the worker would reject all of them."
  }
  validation {
    condition     = contains(["DEBUG", "INFO"], lookup(var.settings, "LOG_LEVEL", "INFO"))
    error_message = "settings must not contain a LOG_LEVEL above INFO: alerts and charts need the worker's log lines."
  }
}

variable "http_endpoint" {
  description = "Serve `POST /predict` with a service of its own: `internal`, for callers inside the project; `anywhere`. Only `endpoint_callers` have access."
  type        = string
  default     = "off"
  nullable    = false
  validation {
    condition     = contains(["off", "internal", "anywhere"], var.http_endpoint)
    error_message = "http_endpoint must be off, internal or anywhere."
  }
}

variable "endpoint_callers" {
  description = "Members that may call the HTTP endpoint, such as `serviceAccount:someone@example.com`; nobody else has access."
  type        = set(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.endpoint_callers : can(regex("^(user|group|serviceAccount|principal|principalSet):.+", member))])
    error_message = "endpoint_callers must be members such as user:, group:, serviceAccount:, principal: or principalSet:. Public access is not supported."
  }
}

variable "response_store" {
  description = "Store each response in a bucket of its own before it is published, so that all copies are equal: one write to Cloud Storage per request, about $5 per million."
  type        = bool
  default     = false
  nullable    = false
}

variable "clients" {
  description = "Members that may send images and read responses, such as `user:someone@example.com`."
  type        = set(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.clients : can(regex("^(user|group|serviceAccount|principal|principalSet):.+", member))])
    error_message = "clients must be members such as user:, group:, serviceAccount:, principal: or principalSet:. Public access is not supported."
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
    condition     = var.bigquery_days >= 1
    error_message = "bigquery_days must be at least 1."
  }
}

variable "analysts" {
  description = "Members that may read the responses in BigQuery; to run queries they also need `roles/bigquery.jobUser` on a project."
  type        = set(string)
  default     = []
  nullable    = false
  validation {
    condition     = alltrue([for member in var.analysts : can(regex("^(user|group|serviceAccount|principal|principalSet):.+", member))])
    error_message = "analysts must be members such as user:, group:, serviceAccount:, principal: or principalSet:."
  }
}

variable "kms_key" {
  description = "Full name of a key in Cloud KMS that encrypts all stored data. Choose it before the first apply, and a separate one for each environment: destroying an environment removes the grants on its key."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key == null ? true : can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "kms_key must be projects/P/locations/L/keyRings/R/cryptoKeys/K, where L is the region."
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
    error_message = "subnetwork needs compute push or worker: a function uses vpc_connector."
  }
}

variable "stay_in_region" {
  description = "Let Pub/Sub store messages in this region only; otherwise it stores them near the publisher."
  type        = bool
  default     = false
  nullable    = false
}

variable "labels" {
  description = "Labels on every resource that supports them."
  type        = map(string)
  default     = {}
  nullable    = false
}

variable "deletion_protection" {
  description = "Protect services, and the tables in BigQuery, from being destroyed."
  type        = bool
  default     = true
  nullable    = false
}
