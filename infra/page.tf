# The page of `predictions web` as a service of its own, if var.page. Identity-Aware Proxy (IAP) asks for a sign-in with
# Google, and only its members may open the page. docs/web.md describes what the page keeps.
variable "page" {
  description = "Serve the [page](../docs/web.md#in-google-cloud) as a Cloud Run service behind Identity-Aware Proxy. Only `members`, by names of yours, may open it: they can send images, and read every row, image and dead letter that the page shows. `{ members = { team = \"group:team@example.com\" } }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(map(string))
  default = null
  validation {
    condition     = var.page == null ? true : keys(var.page) == tolist(["members"])
    error_message = "page has ${var.page == null ? "" : length(var.page) == 0 ? "nothing" : substr(join(", ", keys(var.page)), 0, 100)}; it must have members and nothing else."
  }
  validation {
    condition     = try(length(var.page.members) > 0, var.page == null || !can(var.page.members))
    error_message = "page.members is empty; it must name who may open the page, such as { team = \"group:team@example.com\" }, or leave page out."
  }
  validation {
    condition     = alltrue([for member in values(try(var.page.members, {})) : can(regex(local.page_member, member))])
    error_message = "page.members has ${try([for name, member in try(var.page.members, {}) : "${substr(name, 0, 60)} = ${substr(coalesce(member, "null"), 0, 60)}" if !can(regex(local.page_member, member))][0], "")}; a member must be user:EMAIL, group:EMAIL or domain:NAME: Identity-Aware Proxy asks people to sign in."
  }
  validation {
    condition     = length(distinct(values(try(var.page.members, {})))) == length(try(var.page.members, {}))
    error_message = "page.members has ${try([for name, member in try(var.page.members, {}) : "${substr(name, 0, 60)} = ${substr(member, 0, 60)}" if length([for other in values(try(var.page.members, {})) : other if other == member]) > 1][0], "")} a second time; each member must have one name, because removing one of two would remove the rights of both."
  }
}

variable "page_image" {
  description = "Container image of the page, in production by digest; `make deploy` builds it (infra/page.Dockerfile) and sets it when `page` is set."
  type        = string
  default     = null
  validation {
    condition     = var.page_image == null ? true : can(regex("^[a-z0-9.-]+(:[0-9]+)?/[a-z0-9._/-]+(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@sha256:[0-9a-f]+)?$", var.page_image))
    error_message = "page_image is ${substr(coalesce(var.page_image, "null"), 0, 100)}; it must be a full name with its registry, such as europe-west1-docker.pkg.dev/PROJECT/images/page@sha256:..."
  }
  validation {
    condition     = (var.page == null) == (var.page_image == null)
    error_message = var.page == null ? "page_image is set and page is not, so nothing would run it: set page too, or leave page_image out." : "page_image is missing and page is set; make deploy builds this image and sets it, when a file of TFVARS sets page. Otherwise build infra/page.Dockerfile and set page_image, or leave page out."
  }
}

locals {
  page_members = try({ for name, member in var.page.members : name => member }, {})
  page_member  = "^((user|group):[^@\\s]+@[^@\\s]+|domain:[a-z0-9-]+([.][a-z0-9-]+)+)$"
}

locals {
  page_name = "${local.prefix}prediction-page"

  # The audience of the tokens with which IAP signs the requests that it passes on.
  page_audience = var.page == null ? null : "/projects/${data.google_project.this[0].number}/locations/${var.region}/services/${local.page_name}"

  # The worker's model: of the registry, of an artifact in the models bucket, or the one that both images contain.
  page_model = local.from_registry ? {
    REGISTRY = local.registry_settings.REGISTRY
    MODELS   = local.registry_settings.MODELS
  } : { ARTIFACT = lookup(local.environment, "ARTIFACT", "/app/model/artifacts/fashion-mnist") }

  # What the page reads in the models bucket, as the worker's condition (models.tf); null when it reads nothing there.
  page_reads = local.from_registry ? local.in_registry : var.artifact_prefix == null ? null : join(" || ", [
    "resource.name == \"projects/_/buckets/${local.buckets[local.models_bucket]}\"",
    "resource.name.startsWith(${jsonencode("projects/_/buckets/${local.buckets[local.models_bucket]}/objects/${var.artifact_prefix}/")})",
  ])
}

# google-beta, because google has iap_enabled only from version 7 on.
resource "google_cloud_run_v2_service" "page" {
  count    = var.page == null ? 0 : 1
  provider = google-beta

  project              = var.project_id
  name                 = local.page_name
  location             = var.region
  ingress              = "INGRESS_TRAFFIC_ALL" # browsers come from everywhere; IAP answers all of them first
  iap_enabled          = true
  invoker_iam_disabled = false
  deletion_protection  = false # it keeps nothing that cannot be lost, and `page` may be removed
  labels               = var.labels

  # As the other services (run.tf).
  scaling {
    min_instance_count = 0
  }

  dynamic "binary_authorization" {
    for_each = var.binary_authorization[*]
    content {
      use_default = binary_authorization.value == "default" ? true : null
      policy      = binary_authorization.value == "default" ? null : binary_authorization.value
    }
  }

  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  template {
    service_account                  = local.service_accounts["page"].email
    timeout                          = "3600s" # Cloud Run's maximum: an event stream lasts as long, and the browser opens the next one
    max_instance_request_concurrency = 200     # each open tab holds one request, its event stream
    encryption_key                   = lookup(local.keys, "run", null)
    labels                           = var.labels

    # One, because the rows are in one SQLite file.
    scaling {
      min_instance_count = 0
      max_instance_count = 1
    }

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
      image = var.page_image

      ports {
        container_port = 8080
      }

      resources {
        limits            = { cpu = "1", memory = "2Gi" } # files are memory too: up to 500 MB of images wait for their answers
        cpu_idle          = true                          # billed only while a request lasts, which an open tab's event stream does
        startup_cpu_boost = true
      }

      dynamic "env" {
        for_each = merge(local.page_model, {
          DEAD_LETTERS_SUBSCRIPTION = google_pubsub_subscription.this[local.dead_letters].id
          GOOGLE_CLOUD_PROJECT      = var.project_id
          IAP_AUDIENCE              = local.page_audience
          PAYLOAD_BUCKET            = local.buckets[local.payloads_bucket]
          REQUEST_SUBSCRIPTION      = google_pubsub_subscription.this[local.request_subscription].id
          REQUEST_TOPIC             = local.topics[local.request_topic].id
          RESPONSE_TOPIC            = local.topics[local.response_topic].id
          UPLOAD_BUCKET             = local.buckets[local.uploads_bucket]
        })
        content {
          name  = env.key
          value = env.value
        }
      }

      # The port alone: a probe over HTTP does not come through IAP, and the page would refuse it.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 60
        tcp_socket {
          port = 8080
        }
      }
    }
  }

  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository.images,
    google_pubsub_topic_iam_member.page,
    google_pubsub_topic_iam_member.page_subscription,
    google_project_iam_member.page,
    google_project_iam_member.page_metrics,
    google_storage_bucket_iam_member.page,
    google_storage_bucket_iam_member.page_models,
  ]
}

# IAP's agent calls the service for the members, after their sign-in.
resource "google_project_service_identity" "iap" {
  count    = var.page == null ? 0 : 1
  provider = google-beta

  project = var.project_id
  service = google_project_service.this["iap"].service
}

resource "google_cloud_run_v2_service_iam_member" "iap" {
  count = var.page == null ? 0 : 1

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.page[0].name
  role     = "roles/run.invoker"
  member   = google_project_service_identity.iap[0].member
}

resource "google_iap_web_cloud_run_service_iam_member" "page" {
  for_each = local.page_members

  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.page[0].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}

# The page sends as a client does.
resource "google_pubsub_topic_iam_member" "page" {
  count = var.page == null ? 0 : 1

  project = local.topics[local.request_topic].project
  topic   = local.topics[local.request_topic].name
  role    = "roles/pubsub.publisher"
  member  = local.service_accounts["page"].member
}

resource "google_storage_bucket_iam_member" "page" {
  for_each = toset(var.page == null ? [] : [local.uploads_bucket, local.payloads_bucket])

  bucket = local.buckets[each.value]
  role   = "roles/storage.objectCreator"
  member = local.service_accounts["page"].member
}

# A response subscription for each of its jobs, and the dead letters (clients.tf has the role, and why it is so wide).
resource "google_project_iam_member" "page" {
  count = var.page == null ? 0 : 1

  project = var.project_id
  role    = google_project_iam_custom_role.client[0].name
  member  = local.service_accounts["page"].member
}

resource "google_pubsub_topic_iam_member" "page_subscription" {
  count = var.page == null ? 0 : 1

  project = local.topics[local.response_topic].project
  topic   = local.topics[local.response_topic].name
  role    = "roles/pubsub.subscriber" # on a topic: to attach subscriptions
  member  = local.service_accounts["page"].member
}

# Reads how many messages wait; Cloud Monitoring has no smaller scope than a project.
resource "google_project_iam_member" "page_metrics" {
  count = var.page == null ? 0 : 1

  project = var.project_id
  role    = "roles/monitoring.viewer"
  member  = local.service_accounts["page"].member
}

resource "google_storage_bucket_iam_member" "page_models" {
  count = var.page == null || local.page_reads == null ? 0 : 1

  bucket = local.buckets[local.models_bucket]
  role   = "roles/storage.objectViewer"
  member = local.service_accounts["page"].member

  condition {
    title      = "models that the page shows"
    expression = local.page_reads
  }
}

output "page_url" {
  description = "Address of the page; null without `page`."
  value       = one(google_cloud_run_v2_service.page[*].uri)
  depends_on  = [google_cloud_run_v2_service_iam_member.iap, google_iap_web_cloud_run_service_iam_member.page]
}

output "page_image" {
  description = "The image of the page that runs; null without `page`."
  value       = one([for service in google_cloud_run_v2_service.page : service.template[0].containers[0].image])
}
