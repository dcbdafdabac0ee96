# What an organisation's policies and its VPC service controls may require; docs/organisation.md has the whole list.
variable "build_pool" {
  description = "Full name of a private pool of Cloud Build that builds the image or the function; without it Google's default pool."
  type        = string
  default     = null
  validation {
    condition     = var.build_pool == null ? true : can(regex("^projects/[^/]+/locations/[^/]+/workerPools/[^/]+$", var.build_pool))
    error_message = "build_pool is ${coalesce(var.build_pool, "null")}; it must be projects/P/locations/L/workerPools/N."
  }
  validation {
    condition     = var.build_pool == null || var.compute != "function" ? true : can(regex("/locations/${var.region}/", var.build_pool))
    error_message = "build_pool is ${coalesce(var.build_pool, "null")}; for a function it must be in ${var.region}, the function's region."
  }
}

variable "binary_authorization" {
  description = "Policy of Binary Authorization that each image must satisfy: `default`, the project's, or `projects/P/platforms/cloudRun/policies/N`."
  type        = string
  default     = null
  validation {
    condition     = var.binary_authorization == null ? true : can(regex("^(default|projects/[^/]+/platforms/cloudRun/policies/[^/]+)$", var.binary_authorization))
    error_message = "binary_authorization is ${coalesce(var.binary_authorization, "null")}; it must be default or projects/P/platforms/cloudRun/policies/N."
  }
}

variable "vpc_connector" {
  description = "Full name of a Serverless VPC Access connector for all outgoing traffic of a function; the other kinds of `compute` use `subnetwork`."
  type        = string
  default     = null
  validation {
    condition     = var.vpc_connector == null ? true : can(regex("^projects/[^/]+/locations/${var.region}/connectors/[^/]+$", var.vpc_connector))
    error_message = "vpc_connector is ${coalesce(var.vpc_connector, "null")}; it must be projects/P/locations/L/connectors/C, where L is the region."
  }
  validation {
    condition     = var.vpc_connector == null || var.compute == "function"
    error_message = "vpc_connector needs compute function; with the others, subnetwork needs no connector."
  }
}
