# Sizes, each with the reason for its default; `terraform apply -var-file` can set measured values.
variable "concurrency" {
  description = "Requests that one instance answers at the same time, at most one thread each. A push waits until its response is published, so an instance needs many to use its CPU ([measured](../docs/benchmarks/servers.md#pushes-at-the-same-time)). A model that takes more than a second for an image needs fewer: all must be answered within `timeout_seconds`. `predictions plan --tfvars` calculates the number for a model."
  type        = number
  default     = 80 # Cloud Run's own; eight times the pushes of 8 at the same time, when a publish takes 50 ms
  nullable    = false
  validation {
    condition     = var.concurrency >= 1 && var.concurrency <= 1000 && floor(var.concurrency) == var.concurrency
    error_message = "concurrency is ${var.concurrency}; it must be a whole number from 1 to 1000."
  }
}

variable "cpu" {
  description = "vCPUs of an instance: 1, 2, 4, 6 or 8; with the GPU `nvidia-rtx-pro-6000` 20 or more."
  type        = number
  default     = 2 # one scores while the other decodes
  nullable    = false
  validation {
    condition     = local.large_gpu ? var.cpu >= local.least.cpu && floor(var.cpu) == var.cpu : contains(local.cpus, var.cpu)
    error_message = "cpu is ${var.cpu}; ${var.gpu == null ? "" : "with gpu ${var.gpu} "}it must be ${local.large_gpu ? "a whole number of at least ${local.least.cpu}" : "one of ${join(", ", local.cpus)}"}."
  }
}

variable "memory" {
  description = "Memory of an instance."
  type        = string
  default     = "1Gi" # a mix of large images peaked below 350 MB; /tmp, which holds artifacts, is memory too
  nullable    = false
  validation {
    condition     = can(regex("^[1-9][0-9]*(Mi|Gi)$", var.memory))
    error_message = "memory is ${var.memory}; it must be a whole number with Mi or Gi, such as 1Gi."
  }
  validation {
    condition = alltrue([
      for mib in [for part in regexall("^([1-9][0-9]*)(Mi|Gi)$", var.memory) : tonumber(part[0]) * (part[1] == "Gi" ? 1024 : 1)] :
      mib >= local.memory_mib_range[0] && mib <= try(local.memory_mib_range[1], mib)
    ])
    error_message = "memory is ${var.memory}; with ${var.cpu} vCPUs${var.gpu == null ? "" : " and gpu ${var.gpu}"} it must be from ${join("Mi to ", local.memory_mib_range)}Mi."
  }
}

variable "min_instances" {
  description = "Instances of a service or function that run, and cost money, when there are no requests; a pool has `instances`, or `min` of `scale`."
  type        = number
  default     = 0 # no cost without requests; the first image after a pause waits for a cold start
  nullable    = false
  validation {
    condition     = var.min_instances >= 0 && var.min_instances <= var.max_instances && floor(var.min_instances) == var.min_instances
    error_message = "min_instances is ${var.min_instances}; it must be a whole number from 0 to max_instances, which is ${var.max_instances}."
  }
}

variable "max_instances" {
  description = "Maximum number of instances of a service or function: it limits the cost; a pool has `instances`, or `max` of `scale`."
  type        = number
  default     = 10 # 800 concurrent images; further ones wait in the subscription
  nullable    = false
  validation {
    condition     = var.max_instances >= 1 && floor(var.max_instances) == var.max_instances
    error_message = "max_instances is ${var.max_instances}; it must be a whole number of at least 1."
  }
}

variable "instances" {
  description = "Instances of a worker pool, which does not scale automatically; not used with `scale`."
  type        = number
  default     = 1
  nullable    = false
  validation {
    condition     = var.instances >= 0 && floor(var.instances) == var.instances
    error_message = "instances is ${var.instances}; it must be a whole number of at least 0 (0: requests wait)."
  }
}

variable "gpu" {
  description = "GPU of each instance: `nvidia-l4`, with at least 4 vCPUs and 16Gi, or `nvidia-rtx-pro-6000`, with at least 20 vCPUs and 80Gi; the image needs an engine that uses it, and the region a quota for `max_instances` GPUs."
  type        = string
  default     = null
  validation {
    condition     = var.gpu == null ? true : contains(keys(local.gpus), var.gpu)
    error_message = "gpu is ${coalesce(var.gpu, "none")}; it must be ${join(" or ", keys(local.gpus))}."
  }
  validation {
    condition     = var.gpu == null || var.compute != "function"
    error_message = "gpu is ${coalesce(var.gpu, "none")} and compute is function; gpu needs compute push, worker or kafka: a function cannot have one."
  }
}

variable "ack_deadline_seconds" {
  description = "Seconds after which Pub/Sub considers a push lost and delivers it again; without it the value in topology.yaml, 60."
  type        = number
  default     = null # 60 there: an image takes milliseconds, so a minute means a failure; large models may need 600
  validation {
    condition     = var.ack_deadline_seconds == null ? true : var.ack_deadline_seconds >= 10 && var.ack_deadline_seconds <= 600 && floor(var.ack_deadline_seconds) == var.ack_deadline_seconds
    error_message = "ack_deadline_seconds is ${coalesce(var.ack_deadline_seconds, 0)}; it must be a whole number from 10 to 600, Pub/Sub's limits."
  }
}

variable "timeout_seconds" {
  description = "Timeout of a request in seconds, below the ack deadline."
  type        = number
  default     = 55 # below the deadline, after which a request would be delivered again while it is still processed
  nullable    = false
  validation {
    condition     = var.timeout_seconds >= 1 && var.timeout_seconds < local.shortest_deadline && floor(var.timeout_seconds) == var.timeout_seconds
    error_message = "timeout_seconds is ${var.timeout_seconds}; it must be a whole number of at least 1, and it must be below the ack deadline of every subscription that is delivered to the worker (ack_deadline_seconds, or else topology.yaml)."
  }
}

locals {
  # MiB of memory that Cloud Run accepts by number of vCPUs, from least to most.
  memory_mib_by_cpu = { 1 = [512, 4096], 2 = [512, 8192], 4 = [2048, 16384], 6 = [4096, 24576], 8 = [4096, 32768] }

  # What Cloud Run requires at least for each kind of GPU.
  gpus = {
    nvidia-l4           = { cpu = 4, memory_mib = 16384 }
    nvidia-rtx-pro-6000 = { cpu = 20, memory_mib = 81920 }
  }
  least     = try(local.gpus[var.gpu], { cpu = 0, memory_mib = 0 })
  large_gpu = local.least.cpu > 8 # needs more vCPUs than the table has: only Google knows what is too much

  cpus             = [for cpu in keys(local.memory_mib_by_cpu) : tonumber(cpu) if tonumber(cpu) >= local.least.cpu]
  memory_mib_range = contains(local.cpus, var.cpu) ? [max(local.memory_mib_by_cpu[var.cpu][0], local.least.memory_mib), local.memory_mib_by_cpu[var.cpu][1]] : [local.least.memory_mib]

  memory_mib = try(tonumber(regex("^[0-9]+", var.memory)) * (endswith(var.memory, "Gi") ? 1024 : 1), 0)
  limits     = merge({ cpu = tostring(var.cpu), memory = var.memory }, var.gpu == null ? {} : { "nvidia.com/gpu" = "1" })
}
