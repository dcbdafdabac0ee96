# The retrain loop, if var.retrain is set: a job that handles the requests of req_train, started by Cloud Scheduler, which
# may also publish a request to train one model. docs/registry.md describes requests and answers.
variable "retrain" {
  description = "Train and evaluate models on request: a job, started on a schedule, handles the messages of req_train, on images below a prefix of one of your buckets, in an image with TensorFlow. `models` may be trained before the registry has them, separated by commas. With `model` and `backbone`, Cloud Scheduler also requests a training of this model at `train_schedule`, and with `on_drift` the drift alert does so too. `{ image, bucket, prefix = \"\", models = \"\", schedule = \"0 * * * *\", time_zone = \"Etc/UTC\", hours = 6, cpu = 4, memory = \"16Gi\", margin = 0.01, model = \"\", backbone = \"\", train_schedule = \"0 3 * * 1\", on_drift = false }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(string)
  default = null
  validation {
    condition     = var.retrain == null ? true : length(setsubtract(keys(var.retrain), concat(["image", "bucket"], keys(local.retrain_defaults)))) == 0
    error_message = "retrain has ${substr(join(", ", try(setsubtract(keys(var.retrain), concat(["image", "bucket"], keys(local.retrain_defaults))), [])), 0, 100)}; it must have only image, bucket, ${join(", ", keys(local.retrain_defaults))}."
  }
  validation {
    condition     = var.retrain == null ? true : can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]+)?$", var.retrain.image))
    error_message = "retrain.image is ${substr(coalesce(try(var.retrain.image, null), "null"), 0, 100)}; it must be a container image with TensorFlow, such as REGION-docker.pkg.dev/PROJECT/images/train@sha256:... (docs/registry.md)."
  }
  validation {
    condition     = var.retrain == null ? true : can(regex("^[a-z0-9][a-z0-9._-]+[a-z0-9]$", var.retrain.bucket))
    error_message = "retrain.bucket is ${substr(coalesce(try(var.retrain.bucket, null), "null"), 0, 100)}; it must be a bucket's name, without gs:// and without a folder."
  }
  validation {
    condition     = try(var.retrain.prefix, null) == null ? true : can(regex("^([^/]+(/[^/]+)*)?$", var.retrain.prefix)) && !contains(split("/", var.retrain.prefix), "..") && !startswith(var.retrain.prefix, "gs:")
    error_message = "retrain.prefix is ${substr(coalesce(try(var.retrain.prefix, null), "null"), 0, 100)}; it must be a folder of the bucket, such as photos/clothing, without gs:// and without a slash at its ends."
  }
  validation {
    condition     = try(var.retrain.models, null) == null ? true : can(regex("^([a-z0-9][a-z0-9._-]{0,62}(,[a-z0-9][a-z0-9._-]{0,62})*)?$", var.retrain.models))
    error_message = "retrain.models is ${substr(coalesce(try(var.retrain.models, null), "null"), 0, 100)}; it must be names of models, separated by commas, such as clothing,shoes."
  }
  validation {
    condition     = var.retrain == null ? true : alltrue([for name in ["schedule", "train_schedule"] : try(var.retrain[name], null) == null ? true : can(regex("^${join(" ", [for part in local.cron : "${part}(,${part})*"])}$", var.retrain[name]))])
    error_message = "retrain has ${try([for name in ["schedule", "train_schedule"] : "${name} = ${var.retrain[name]}" if try(var.retrain[name], null) == null ? false : !can(regex("^${join(" ", [for part in local.cron : "${part}(,${part})*"])}$", var.retrain[name]))][0], "")}; it must be minute, hour, day of the month, month and day of the week as in cron, such as 0 3 * * 1."
  }
  validation {
    condition     = try(var.retrain.time_zone, null) == null ? true : can(regex("^[A-Za-z]+(/[A-Za-z0-9_+-]+)*$", var.retrain.time_zone))
    error_message = "retrain.time_zone is ${substr(coalesce(try(var.retrain.time_zone, null), "null"), 0, 100)}; it must be a name of the time zone database, such as Etc/UTC or Europe/Berlin."
  }
  validation {
    condition     = try(var.retrain.hours, null) == null ? true : try(tonumber(var.retrain.hours) >= 1 && tonumber(var.retrain.hours) <= 80, false)
    error_message = "retrain.hours is ${substr(coalesce(try(var.retrain.hours, null), "null"), 0, 60)}; it must be a number from 1 to 80: the longest training, of which a run of the job may take two."
  }
  validation {
    condition     = try(var.retrain.margin, null) == null ? true : try(tonumber(var.retrain.margin) >= 0 && tonumber(var.retrain.margin) <= 1, false)
    error_message = "retrain.margin is ${substr(coalesce(try(var.retrain.margin, null), "null"), 0, 60)}; it must be a number from 0 to 1: how much lower the accuracy of a candidate may be."
  }
  validation {
    condition     = try(var.retrain.cpu, null) == null ? true : contains(["1", "2", "4", "6", "8"], var.retrain.cpu)
    error_message = "retrain.cpu is ${substr(coalesce(try(var.retrain.cpu, null), "null"), 0, 60)}; it must be 1, 2, 4, 6 or 8."
  }
  validation {
    condition     = try(var.retrain.memory, null) == null ? true : try(tonumber(regex("^([1-9][0-9]?)Gi$", var.retrain.memory)[0]) >= 4 && tonumber(regex("^([1-9][0-9]?)Gi$", var.retrain.memory)[0]) <= 32, false)
    error_message = "retrain.memory is ${substr(coalesce(try(var.retrain.memory, null), "null"), 0, 60)}; it must be from 4Gi to 32Gi: it holds the images too."
  }
  validation {
    condition     = var.retrain == null ? true : (try(var.retrain.model, "") == "" || try(var.retrain.model, null) == null) == (try(var.retrain.backbone, "") == "" || try(var.retrain.backbone, null) == null)
    error_message = "retrain has ${try(var.retrain.model, "") == "" ? "backbone without model" : "model without backbone"}; set both to train at train_schedule, or neither."
  }
  validation {
    condition     = try(var.retrain.model, null) == null ? true : can(regex("^([a-z0-9][a-z0-9._-]{0,62})?$", var.retrain.model))
    error_message = "retrain.model is ${substr(coalesce(try(var.retrain.model, null), "null"), 0, 100)}; it must be the name of a model, such as clothing."
  }
  validation {
    condition     = try(var.retrain.backbone, null) == null ? true : can(regex("^[A-Za-z0-9]{0,40}$", var.retrain.backbone))
    error_message = "retrain.backbone is ${substr(coalesce(try(var.retrain.backbone, null), "null"), 0, 100)}; it must be a name of `predictions model catalog`, such as MobileNetV2."
  }
  validation {
    condition     = try(var.retrain.on_drift, null) == null ? true : contains(["true", "false"], var.retrain.on_drift)
    error_message = "retrain.on_drift is ${substr(coalesce(try(var.retrain.on_drift, null), "null"), 0, 60)}; it must be true or false."
  }
  validation {
    condition     = try(var.retrain.on_drift, null) == "true" ? try(var.retrain.model, null) != null && var.score_metrics : true
    error_message = "retrain.on_drift is true and ${var.score_metrics ? "there is no model: set model and backbone" : "score_metrics is false, so there is no drift alert: set score_metrics"}, or leave on_drift out."
  }
  validation {
    condition     = try(var.retrain.train_schedule, null) == null || coalesce(try(var.retrain.model, null), "-") != "-"
    error_message = "retrain.train_schedule is ${substr(coalesce(try(var.retrain.train_schedule, null), "null"), 0, 60)} and there is no model; set model and backbone, or leave train_schedule out."
  }
}

variable "training_requesters" {
  description = "Members that may request trainings and evaluations, by names of yours, such as `{ team = \"group:models@example.com\" }`: they decide what the candidates are trained on."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for member in values(var.training_requesters) : can(regex(local.member, member))])
    error_message = "training_requesters has ${try([for name, member in var.training_requesters : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.member, member))][0], "")}; a member must begin with user:, group:, serviceAccount:, principal: or principalSet:."
  }
  validation {
    condition     = length(distinct(values(var.training_requesters))) == length(var.training_requesters)
    error_message = "training_requesters has ${try([for name, member in var.training_requesters : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(var.training_requesters) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
  validation {
    condition     = length(var.training_requesters) == 0 || var.retrain != null
    error_message = "training_requesters is set and retrain is not: nothing would handle their requests; set retrain too."
  }
}

locals {
  # What Cloud Scheduler, or an incident of the drift alert, requests.
  training_request = {
    kind   = "train"
    model  = local.retrain.model
    data   = local.training_data
    config = { backbone = local.retrain.backbone }
  }
  retrain_defaults = {
    prefix         = ""
    models         = ""
    schedule       = "0 * * * *" # a run without a request is billed for two minutes
    time_zone      = "Etc/UTC"
    hours          = "6"
    cpu            = "4"
    memory         = "16Gi" # Cloud Run's disk is memory
    margin         = "0.01"
    model          = ""
    backbone       = ""
    train_schedule = "0 3 * * 1"
    on_drift       = "false"
  }
  retrain = { for name, default in local.retrain_defaults : name => try(var.retrain[name], null) == null ? default : var.retrain[name] }

  training_topic        = "req_train"
  training_subscription = "req_train-sub"
  training_data         = var.retrain == null ? null : "gs://${var.retrain.bucket}${local.retrain.prefix == "" ? "" : "/${local.retrain.prefix}"}"
  is_trained            = var.retrain != null && local.retrain.model != ""
  is_trained_on_drift   = local.is_trained && local.retrain.on_drift == "true"
}

resource "google_storage_bucket_iam_member" "training_data" {
  count = var.retrain == null ? 0 : 1

  bucket = var.retrain.bucket
  role   = "roles/storage.objectViewer"
  member = local.service_accounts["trainer"].member
}

# To create versions, and to replace aliases.json. Other objects of the bucket, such as artifacts by prefix, stay closed.
resource "google_storage_bucket_iam_member" "registry_writer" {
  count = var.retrain == null ? 0 : 1

  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectUser"
  member = local.service_accounts["trainer"].member

  condition {
    title      = "registry of models"
    expression = local.in_registry
  }
}

resource "google_pubsub_topic_iam_member" "training_answers" {
  count = var.retrain == null ? 0 : 1

  project = local.topics[local.response_topic].project
  topic   = local.topics[local.response_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_accounts["trainer"].member
}

resource "google_pubsub_topic_iam_member" "training_requester" {
  for_each = var.training_requesters

  project = local.topics[local.training_topic].project
  topic   = local.topics[local.training_topic].name
  role    = "roles/pubsub.publisher"
  member  = each.value
}

resource "google_pubsub_subscription_iam_member" "trainer" {
  count = var.retrain == null ? 0 : 1

  project      = var.project_id
  subscription = google_pubsub_subscription.this[local.training_subscription].name
  role         = "roles/pubsub.subscriber"
  member       = local.service_accounts["trainer"].member
}

resource "google_cloud_run_v2_job" "retrain" {
  count = var.retrain == null ? 0 : 1

  project             = var.project_id
  name                = "${local.prefix}prediction-retrain"
  location            = var.region
  deletion_protection = false # it stores nothing, and `retrain` may be removed
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
      service_account = local.service_accounts["trainer"].email
      timeout         = "${ceil(local.retrain.hours * 2 * 3600) + 600}s" # two trainings, and the wait for a third
      max_retries     = 0                                                # Pub/Sub delivers the request again, to the next run
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
        image   = var.retrain.image
        command = ["python", "-m", "functions.entrypoints.train_worker"]
        args    = ["--until-idle=60"]

        dynamic "env" {
          for_each = {
            GOOGLE_CLOUD_PROJECT = var.project_id
            RESPONSE_TOPIC       = local.topics[local.response_topic].id
            TRAIN_SUBSCRIPTION   = google_pubsub_subscription.this[local.training_subscription].id
            REGISTRY             = local.registry
            TRAIN_DATA           = local.training_data
            TRAIN_MODELS         = local.retrain.models
            TRAIN_MARGIN         = local.retrain.margin
            TRAIN_ON_ALERT       = local.is_trained_on_drift ? jsonencode(local.training_request) : ""
            TRAIN_MAX_S          = "${ceil(local.retrain.hours * 3600)}"
          }
          content {
            name  = env.key
            value = env.value
          }
        }

        resources {
          limits = { cpu = local.retrain.cpu, memory = local.retrain.memory }
        }
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository.images,
    google_storage_bucket_iam_member.training_data,
    google_storage_bucket_iam_member.registry_writer,
    google_pubsub_topic_iam_member.training_answers,
    google_pubsub_subscription_iam_member.trainer,
  ]
}

resource "google_cloud_run_v2_job_iam_member" "trainer" {
  count = var.retrain == null ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_job.retrain[0].name
  role     = "roles/run.invoker"
  member   = local.service_accounts["trainer"].member
}

resource "google_cloud_scheduler_job" "retrain" {
  count = var.retrain == null ? 0 : 1

  project     = var.project_id
  name        = "${local.prefix}prediction-retrain"
  region      = var.region
  description = "Starts the job of the same name, which handles the training requests that wait."
  schedule    = local.retrain.schedule
  time_zone   = local.retrain.time_zone

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/${google_cloud_run_v2_job.retrain[0].id}:run"
    oauth_token {
      service_account_email = local.service_accounts["trainer"].email
    }
  }

  retry_config {
    retry_count = 3 # of the job's start
  }

  depends_on = [google_cloud_run_v2_job_iam_member.trainer]
}

# Cloud Scheduler's own agent publishes it; the id of the message becomes the id of the request.
resource "google_cloud_scheduler_job" "train" {
  count = local.is_trained ? 1 : 0

  project     = var.project_id
  name        = "${local.prefix}prediction-train"
  region      = var.region
  description = "Requests a training of ${local.retrain.model}."
  schedule    = local.retrain.train_schedule
  time_zone   = local.retrain.time_zone

  pubsub_target {
    topic_name = local.topics[local.training_topic].id
    data       = base64encode(jsonencode(local.training_request))
  }

  depends_on = [google_project_service.this]
}

# The drift alert's notifications are requests too. Monitoring's agent publishes them.
resource "google_project_service_identity" "monitoring" {
  count    = local.is_trained_on_drift ? 1 : 0
  provider = google-beta

  project = var.project_id
  service = google_project_service.this["monitoring"].service
}

resource "google_pubsub_topic_iam_member" "drift" {
  count = local.is_trained_on_drift ? 1 : 0

  project = local.topics[local.training_topic].project
  topic   = local.topics[local.training_topic].name
  role    = "roles/pubsub.publisher"
  member  = google_project_service_identity.monitoring[0].member
}

resource "google_monitoring_notification_channel" "training" {
  count = local.is_trained_on_drift ? 1 : 0

  project      = var.project_id
  display_name = "${local.prefix}prediction: request a training"
  type         = "pubsub"
  labels       = { topic = local.topics[local.training_topic].id }
  user_labels  = var.labels
  depends_on   = [google_pubsub_topic_iam_member.drift]
}
