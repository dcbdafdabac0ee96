# A pool that follows its backlog, if var.scale is set: Cloud Scheduler starts a job that sets the pool's instance count.
variable "scale" {
  description = "Let a worker pool follow its backlog, from `min` to `max` instances, instead of `instances`: the minutes in which a backlog is to be handled, without which instances do not stop, and between two decisions. `rate` is images per second of one instance, which `predictions plan --delivery pull` prints: it counts until the pool has measured its own. `{ max, rate, min = 0, drain_minutes = 10, cooldown_minutes = 15, every_minutes = 5 }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(number)
  default = null
  validation {
    condition     = var.scale == null ? true : length(setsubtract(keys(var.scale), concat(["max", "rate"], keys(local.scale_defaults)))) == 0
    error_message = "scale has ${substr(join(", ", try(setsubtract(keys(var.scale), concat(["max", "rate"], keys(local.scale_defaults))), [])), 0, 100)}; it must have only max, rate, ${join(", ", keys(local.scale_defaults))}."
  }
  validation {
    condition     = var.scale == null || var.compute == "worker"
    error_message = "scale is set and compute is ${var.compute}; scale needs compute worker: ${var.compute == "kafka" ? "its job reads the backlog of Pub/Sub" : "the others scale by themselves"}."
  }
  validation {
    condition     = var.scale == null ? true : try(var.scale.max >= 1 && var.scale.max <= 1000 && floor(var.scale.max) == var.scale.max, false)
    error_message = "scale.max is ${coalesce(try(var.scale.max, 0), 0)}; it must be a whole number from 1 to 1000."
  }
  validation {
    condition     = var.scale == null ? true : try(var.scale.min, null) == null ? true : var.scale.min >= 0 && var.scale.min <= coalesce(try(var.scale.max, null), 1000) && floor(var.scale.min) == var.scale.min
    error_message = "scale.min is ${coalesce(try(var.scale.min, 0), 0)}; it must be a whole number from 0 to scale.max, which is ${coalesce(try(var.scale.max, 0), 0)}."
  }
  validation {
    condition     = var.scale == null ? true : try(var.scale.rate > 0, false)
    error_message = "scale.rate is ${coalesce(try(var.scale.rate, 0), 0)}; it must be above 0."
  }
  validation {
    condition     = var.scale == null ? true : alltrue([for minutes in [for name in ["drain_minutes", "cooldown_minutes"] : coalesce(try(var.scale[name], null), 1)] : minutes >= 1 && minutes <= 720 && floor(minutes) == minutes])
    error_message = "scale has ${join(" and ", [for name in ["drain_minutes", "cooldown_minutes"] : "${name} = ${try(var.scale[name], null) == null ? local.scale_defaults[name] : var.scale[name]}"])}; each must be a whole number from 1 to 720."
  }
  validation {
    # The alert waits for 15 minutes without a decision.
    condition     = var.scale == null ? true : contains([1, 2, 3, 4, 5], coalesce(try(var.scale.every_minutes, null), 5))
    error_message = "scale.every_minutes is ${coalesce(try(var.scale.every_minutes, 0), 0)}; it must be a whole number from 1 to 5."
  }
}

locals {
  scale_defaults = {
    min              = 0  # no cost without requests; the first image after a pause waits for a decision
    drain_minutes    = 10 # longer than a decision takes to have an effect: metrics are minutes late
    cooldown_minutes = 15 # three decisions: an instance that starts again costs a download of the model
    every_minutes    = 5  # each decision is billed as a minute of a vCPU
  }
  scale = { for name, default in local.scale_defaults : name => try(var.scale[name], null) == null ? default : var.scale[name] }
}

locals {
  decisions = "run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\", job_name=\"${local.prefix}prediction-scale\", result=\"succeeded\"}"

  scale_alerts = var.scale == null ? {} : {
    scaling = {
      is       = "the pool does not follow its backlog"
      severity = "ERROR"
      every    = 60
      logs     = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${local.prefix}prediction-scale\""
      for      = "600s" # with the five minutes of the query: 15 minutes without a decision, whatever the reason
      query    = "(sum(increase(${local.decisions}[5m])) or vector(0)) == 0"
    }
  }
}

# Reads the backlog, and what the instances handled; Cloud Monitoring has no smaller scope than a project.
resource "google_project_iam_member" "scaler" {
  count = var.scale == null ? 0 : 1

  project = var.project_id
  role    = "roles/monitoring.viewer"
  member  = local.service_accounts["scaler"].member
}

resource "google_cloud_run_v2_worker_pool_iam_member" "scaler" {
  count = var.scale == null ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_worker_pool.worker[0].name
  role     = "roles/run.developer"
  member   = local.service_accounts["scaler"].member
}

# Cloud Run asks for it at every change of a pool that runs as this account.
resource "google_service_account_iam_member" "scaler" {
  count = var.scale == null ? 0 : 1

  service_account_id = local.service_accounts["worker"].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.service_accounts["scaler"].member
}

resource "google_cloud_run_v2_job" "scale" {
  count = var.scale == null ? 0 : 1

  project             = var.project_id
  name                = "${local.prefix}prediction-scale"
  location            = var.region
  deletion_protection = false # it stores nothing, and `scale` may be removed
  labels              = var.labels

  dynamic "binary_authorization" {
    for_each = var.binary_authorization[*]
    content {
      use_default = binary_authorization.value == "default" ? true : null
      policy      = binary_authorization.value == "default" ? null : binary_authorization.value
    }
  }

  template {
    labels = var.labels

    template {
      service_account = local.service_accounts["scaler"].email
      timeout         = "120s" # four calls of at most 10 s to connect and 10 s to answer, and the start
      max_retries     = 0      # the next run tries again, with newer metrics
      encryption_key  = lookup(local.keys, "run", null)

      dynamic "vpc_access" {
        for_each = var.subnetwork[*]
        content {
          egress = "ALL_TRAFFIC"
          network_interfaces {
            subnetwork = vpc_access.value
          }
        }
      }

      containers {
        image   = var.image
        command = ["python", "-m", "functions.entrypoints.scale_pool"]
        args = [
          google_cloud_run_v2_worker_pool.worker[0].id,
          "--subscription=${google_pubsub_subscription.this[local.request_subscription].id}",
          "--min=${local.scale.min}",
          "--max=${var.scale.max}",
          "--rate=${var.scale.rate}",
          "--drain=${local.scale.drain_minutes}",
          "--cooldown=${local.scale.cooldown_minutes}",
          "--json",
        ]

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository.images,
    google_project_iam_member.scaler,
    google_cloud_run_v2_worker_pool_iam_member.scaler,
    google_service_account_iam_member.scaler,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "scaler" {
  count = var.scale == null ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.scale[0].name
  role     = "roles/run.invoker"
  member   = local.service_accounts["scaler"].member
}

resource "google_cloud_scheduler_job" "scale" {
  count = var.scale == null ? 0 : 1

  project     = var.project_id
  name        = "${local.prefix}prediction-scale"
  region      = var.region
  description = "Starts the job of the same name."
  schedule    = "*/${local.scale.every_minutes} * * * *"
  time_zone   = "Etc/UTC"

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.scale[0].id}:run"
    oauth_token {
      service_account_email = local.service_accounts["scaler"].email
    }
  }

  retry_config {
    retry_count = 0 # the next run follows in minutes
  }

  depends_on = [google_cloud_run_v2_job_iam_member.scaler]
}

output "first_response_seconds" {
  description = "Seconds within which a request is answered that finds no instance: a pool at zero waits for a decision."
  value       = var.scale != null && local.scale.min == 0 ? 900 : 120
  depends_on  = [google_cloud_scheduler_job.scale]
}
