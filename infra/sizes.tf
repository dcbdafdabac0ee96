# Sizes, each with the reason for its default; `terraform apply -var-file` can set measured values.
variable "concurrency" {
  description = "Requests that one instance answers at the same time, one thread each."
  type        = number
  default     = 8 # one batch (MAX_BATCH_SIZE); Cloud Run's default of 80 would starve the scoring on two vCPUs
  nullable    = false
  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency must be a whole number from 1 to 1000."
  }
}

variable "cpu" {
  description = "vCPUs of an instance."
  type        = number
  default     = 2 # one scores while the other decodes
  nullable    = false
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu must be 1, 2, 4, 6 or 8: concurrent requests need whole vCPUs."
  }
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "1Gi" # a mix of large images peaked below 350 MB; /tmp, which holds artifacts, is memory too
  nullable    = false
  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory must be a number with Mi or Gi, such as 1Gi."
  }
  validation {
    condition = try(
      tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1) >= lookup({ 4 = 2048, 6 = 4096, 8 = 4096 }, var.cpu, 512),
      false,
    )
    error_message = "memory is too small for this number of vCPUs: Cloud Run needs 512Mi for 1 and 2, 2Gi for 4, 4Gi for 6 and 8."
  }
}

variable "min_instances" {
  description = "Instances that run, and cost money, when there are no requests."
  type        = number
  default     = 0 # no cost without requests; the first image after a pause waits for a cold start
  nullable    = false
  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= var.max_instances
    error_message = "min_instances must be at least 0 and at most max_instances."
  }
}

variable "max_instances" {
  description = "Maximum number of instances: it limits the cost."
  type        = number
  default     = 10 # 80 concurrent images; further ones wait in the subscription
  nullable    = false
  validation {
    condition     = var.max_instances >= 1
    error_message = "max_instances must be at least 1."
  }
}

variable "instances" {
  description = "Instances of a worker pool, which does not scale automatically."
  type        = number
  default     = 1
  nullable    = false
  validation {
    condition     = var.instances >= 0 && floor(var.instances) == var.instances
    error_message = "instances must be a whole number of at least 0 (0: requests wait)."
  }
}

variable "gpu" {
  description = "GPU of each instance, such as `nvidia-l4`; the image needs an engine that uses it, and the region a quota for `max_instances` GPUs."
  type        = string
  default     = null
  validation {
    condition     = var.gpu == null ? true : var.cpu >= 4 && try(tonumber(regex("^([0-9]+)Gi$", var.memory)[0]) >= 16, false)
    error_message = "gpu needs at least 4 vCPUs (cpu) and 16Gi (memory)."
  }
  validation {
    condition     = var.gpu == null || var.compute != "function"
    error_message = "gpu needs compute push or worker: a function cannot have one."
  }
}

variable "ack_deadline_seconds" {
  description = "Seconds after which Pub/Sub considers a push lost and delivers it again; without it the value in topology.yaml, 60."
  type        = number
  default     = null # 60 there: an image takes milliseconds, so a minute means a failure; large models may need 600
  validation {
    condition     = var.ack_deadline_seconds == null ? true : var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600
    error_message = "ack_deadline_seconds must be 10 to 600, Pub/Sub's limits."
  }
}

variable "timeout_seconds" {
  description = "Timeout of a request in seconds, below the ack deadline."
  type        = number
  default     = 55 # below the deadline, after which a request would be delivered again while it is still processed
  nullable    = false
  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds < local.shortest_deadline
    error_message = "timeout_seconds must be below the ack deadline of every subscription that is delivered to the worker (ack_deadline_seconds, or else topology.yaml)."
  }
}

locals {
  limits = merge({ cpu = tostring(var.cpu), memory = var.memory }, var.gpu == null ? {} : { "nvidia.com/gpu" = "1" })
}
