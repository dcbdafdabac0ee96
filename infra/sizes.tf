# The numbers, each with the reason for its default; `terraform apply -var-file` takes others that were measured.
variable "concurrency" {
  description = "Requests that one instance answers at the same time, one thread each."
  type        = number
  default     = 8 # one batch (MAX_BATCH_SIZE); Cloud Run's own 80 would starve the scoring of two vCPUs
  nullable    = false
  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency takes a whole number from 1 to 1000."
  }
}

variable "cpu" {
  description = "vCPUs of an instance."
  type        = number
  default     = 2 # one scores while the other decodes
  nullable    = false
  validation {
    condition     = contains([1, 2, 4, 6, 8], var.cpu)
    error_message = "cpu takes 1, 2, 4, 6 or 8: requests run side by side, so a fraction of a vCPU will not do."
  }
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "1Gi" # a mix of large images peaked below 350 MB; /tmp, where artifacts are kept, is memory too
  nullable    = false
  validation {
    condition     = can(regex("^[0-9]+(Mi|Gi)$", var.memory))
    error_message = "memory takes a number with Mi or Gi, such as 1Gi."
  }
  validation {
    condition = try(
      tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1) >= lookup({ 4 = 2048, 6 = 4096, 8 = 4096 }, var.cpu, 512),
      false,
    )
    error_message = "memory is too little for so many vCPUs: Cloud Run wants 512Mi for 1 and 2, 2Gi for 4, 4Gi for 6 and 8."
  }
}

variable "min_instances" {
  description = "Instances that run, and cost money, when there are no requests."
  type        = number
  default     = 0 # nothing is paid while nothing is asked; the first image after a pause waits for a cold start
  nullable    = false
  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= var.max_instances
    error_message = "min_instances takes 0 or more, and at most max_instances."
  }
}

variable "max_instances" {
  description = "Maximum number of instances: it limits the cost."
  type        = number
  default     = 10 # 80 images at once; what does not fit waits in the subscription
  nullable    = false
  validation {
    condition     = var.max_instances >= 1
    error_message = "max_instances takes 1 or more."
  }
}

variable "instances" {
  description = "Instances of a worker pool, which does not scale by itself."
  type        = number
  default     = 1
  nullable    = false
  validation {
    condition     = var.instances >= 0 && floor(var.instances) == var.instances
    error_message = "instances takes 0 (requests wait) or more."
  }
}

variable "gpu" {
  description = "GPU of each instance, such as `nvidia-l4`; the image needs an engine that uses it, and the region a quota for `max_instances` GPUs."
  type        = string
  default     = null
  validation {
    condition     = var.gpu == null ? true : var.cpu >= 4 && try(tonumber(regex("^([0-9]+)Gi$", var.memory)[0]) >= 16, false)
    error_message = "gpu wants 4 vCPUs (cpu) and 16Gi (memory) at least."
  }
  validation {
    condition     = var.gpu == null || var.compute != "function"
    error_message = "gpu is for push and worker: a function has none."
  }
}

variable "ack_deadline_seconds" {
  description = "Seconds after which Pub/Sub considers a push lost and delivers it again; without it the value in topology.yaml, 60."
  type        = number
  default     = null # 60 there: an image takes milliseconds, so a minute is a failure; large models may want 600
  validation {
    condition     = var.ack_deadline_seconds == null ? true : var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600
    error_message = "ack_deadline_seconds takes 10 to 600, which is what Pub/Sub takes."
  }
}

variable "timeout_seconds" {
  description = "Seconds for one request, below that deadline."
  type        = number
  default     = 55 # below the deadline: a request that outlives it is delivered again while it is still being answered
  nullable    = false
  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds < local.shortest_deadline
    error_message = "timeout_seconds must be below the ack deadline of every subscription that is delivered to the worker (ack_deadline_seconds, or else topology.yaml)."
  }
}

locals {
  limits = merge({ cpu = tostring(var.cpu), memory = var.memory }, var.gpu == null ? {} : { "nvidia.com/gpu" = "1" })
}
