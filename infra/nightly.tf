# Nightly batches, if var.nightly is set: Cloud Scheduler starts a job that sends requests for new objects under a prefix.
variable "nightly" {
  description = "Publish requests every night for the images that were written to one of your buckets, under a prefix, in the last hours; with a cron schedule and its time zone. Up to `gather` images share a message, which makes them cheaper; each has a response of its own. `{ bucket, prefix = \"\", hours = 25, gather = 1, schedule = \"0 3 * * *\", time_zone = \"Etc/UTC\" }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(string)
  default = null
  validation {
    condition     = var.nightly == null ? true : length(setsubtract(keys(var.nightly), concat(["bucket"], keys(local.nightly_defaults)))) == 0
    error_message = "nightly has ${substr(join(", ", try(setsubtract(keys(var.nightly), concat(["bucket"], keys(local.nightly_defaults))), [])), 0, 100)}; it must have only bucket, ${join(", ", keys(local.nightly_defaults))}."
  }
  validation {
    condition     = var.nightly == null ? true : can(regex("^[a-z0-9][a-z0-9._-]+[a-z0-9]$", var.nightly.bucket))
    error_message = "nightly.bucket is ${coalesce(try(var.nightly.bucket, null), "null")}; it must be a bucket's name, without gs:// and without a folder."
  }
  validation {
    condition     = var.nightly == null ? true : !can(regex("^(gs:|/)", var.nightly.prefix))
    error_message = "nightly.prefix is ${coalesce(try(var.nightly.prefix, null), "null")}; it must be the beginning of objects' names, such as 2026/, without gs:// and without a slash at the beginning."
  }
  validation {
    condition     = try(var.nightly.hours, null) == null ? true : try(tonumber(var.nightly.hours) > 0, false)
    error_message = "nightly.hours is ${substr(coalesce(try(var.nightly.hours, null), "null"), 0, 60)}; it must be a number above 0."
  }
  validation {
    condition     = try(var.nightly.gather, null) == null ? true : try(contains(range(1, 257), tonumber(var.nightly.gather)), false) # functions/messages/contract.py: MAX_LINES
    error_message = "nightly.gather is ${substr(coalesce(try(var.nightly.gather, null), "null"), 0, 60)}; it must be a whole number from 1 to 256."
  }
  validation {
    condition     = try(var.nightly.schedule, null) == null ? true : can(regex("^${join(" ", [for part in local.cron : "${part}(,${part})*"])}$", var.nightly.schedule))
    error_message = "nightly.schedule is ${coalesce(try(var.nightly.schedule, null), "null")}; it must be minute, hour, day of the month, month and day of the week as in cron, such as 0 3 * * *."
  }
  validation {
    condition     = try(var.nightly.time_zone, null) == null ? true : can(regex("^[A-Za-z]+(/[A-Za-z0-9_+-]+)*$", var.nightly.time_zone))
    error_message = "nightly.time_zone is ${coalesce(try(var.nightly.time_zone, null), "null")}; it must be a name of the time zone database, such as Etc/UTC or Europe/Berlin."
  }
}

locals {
  nightly_defaults = {
    prefix    = ""
    hours     = "25" # one hour more than a day: repeated requests have the same id, and none is missed
    gather    = "1"
    schedule  = "0 3 * * *"
    time_zone = "Etc/UTC"
  }
  nightly = { for name, default in local.nightly_defaults : name => try(var.nightly[name], null) == null ? default : var.nightly[name] }

  # A regular expression for one value, range or step of each field of a schedule.
  cron = [for number in [
    "[0-5]?[0-9]",
    "([01]?[0-9]|2[0-3])",
    "(0?[1-9]|[12][0-9]|3[01])",
    "(0?[1-9]|1[0-2]|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec))",
    "([0-7]|(?i:sun|mon|tue|wed|thu|fri|sat))",
  ] : "([*]|${number}(-${number})?)(/[1-9][0-9]?)?"]
}

# The job lists the objects, and the worker reads them.
resource "google_storage_bucket_iam_member" "nightly" {
  for_each = toset(var.nightly == null ? [] : ["nightly", "worker"])

  bucket = var.nightly.bucket
  role   = "roles/storage.objectViewer"
  member = local.service_accounts[each.value].member
}

resource "google_pubsub_topic_iam_member" "nightly" {
  count = var.nightly == null ? 0 : 1

  project = local.topics[local.request_topic].project
  topic   = local.topics[local.request_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_accounts["nightly"].member
}

resource "google_cloud_run_v2_job" "nightly" {
  count = var.nightly == null ? 0 : 1

  project             = var.project_id
  name                = "${local.prefix}prediction-nightly"
  location            = var.region
  deletion_protection = var.deletion_protection
  labels              = var.labels

  lifecycle {
    # Two grants of one right on one bucket: without the option, Terraform would remove the worker's.
    precondition {
      condition     = !contains(values(local.buckets), var.nightly.bucket)
      error_message = "nightly.bucket is ${var.nightly.bucket}, a bucket of the deployment; it must be another one: images in ${local.buckets[local.uploads_bucket]} are requested when they are uploaded."
    }
  }

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
      service_account = local.service_accounts["nightly"].email
      timeout         = "3600s" # an hour to list and to publish
      max_retries     = 3       # a retry repeats earlier requests with the same ids
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
        command = ["python", "-m", "functions.entrypoints.batch_publish"]
        args = concat([
          "gs://${var.nightly.bucket}/${local.nightly.prefix}",
          "--topic=${local.topics[local.request_topic].id}",
          "--hours=${local.nightly.hours}",
          ], tonumber(local.nightly.gather) == 1 ? [] : [
          "--gather=${local.nightly.gather}", # images from before it refuse the option
        ])

        env {
          name  = "GOOGLE_CLOUD_PROJECT"
          value = var.project_id
        }

        resources {
          limits = { cpu = "1", memory = "512Mi" }
        }
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository.images,
    google_storage_bucket_iam_member.nightly,
    google_pubsub_topic_iam_member.nightly,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "nightly" {
  count = var.nightly == null ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.nightly[0].name
  role     = "roles/run.invoker"
  member   = local.service_accounts["nightly"].member
}

resource "google_cloud_scheduler_job" "nightly" {
  count = var.nightly == null ? 0 : 1

  project     = var.project_id
  name        = "${local.prefix}prediction-nightly"
  region      = var.region
  description = "Starts the job of the same name."
  schedule    = local.nightly.schedule
  time_zone   = local.nightly.time_zone

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.nightly[0].id}:run"
    oauth_token {
      service_account_email = local.service_accounts["nightly"].email
    }
  }

  retry_config {
    retry_count = 3 # of the job's start; the job itself has retries too
  }

  depends_on = [google_cloud_run_v2_job_iam_member.nightly]
}
