# Cloud Run services with the same image: the worker, when requests are pushed, and the HTTP endpoint, when it is open.
locals {
  services = setunion(var.compute == "push" ? ["worker"] : [], var.http_endpoint == "off" ? [] : ["endpoint"])
  audience = "${local.prefix}prediction-worker" # a custom audience survives a change of the service's URL

  environment = merge(
    # A publisher of requests may name any object, so the models bucket, which the worker can read, is not among these.
    { ALLOWED_BUCKETS = join(",", concat(
      [for name in [local.payloads_bucket, local.uploads_bucket] : local.buckets[name]],
      var.nightly[*].bucket,
    )) },
    var.settings,
    {
      HTTP_ENDPOINT        = "off"
      GOOGLE_CLOUD_PROJECT = var.project_id
      RESPONSE_TOPIC       = local.topics[local.response_topic].id
      THREADS              = tostring(var.concurrency)
    },
    var.artifact_prefix == null ? {} : {
      ARTIFACT = "gs://${local.buckets[local.models_bucket]}/${var.artifact_prefix}"
    },
    local.registry_settings,
    var.gpu == null ? {} : { DEVICE = "gpu" }, # the worker starts only with the GPU that is paid for
    var.response_store ? { RESPONSE_STORE = "gs://${google_storage_bucket.response_store[0].name}/answers" } : {},
  )

  environments = {
    worker   = local.environment
    endpoint = merge({ for name, value in local.environment : name => value if name != "ALLOWED_BUCKETS" }, local.endpoint)
  }
}

resource "google_cloud_run_v2_service" "this" {
  for_each = local.services

  project              = var.project_id
  name                 = "${local.prefix}prediction-${each.key}"
  location             = var.region
  ingress              = each.key == "endpoint" && var.http_endpoint == "anywhere" ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY" # pushes from the same project count as internal
  invoker_iam_disabled = false
  custom_audiences     = each.key == "worker" ? [local.audience] : null
  deletion_protection  = var.deletion_protection
  labels               = var.labels

  # What the API returns for every service: without it, every plan would remove it. The template sets the limits.
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

  # A deploy serves what it deploys, also after traffic was sent to an older revision by hand.
  traffic {
    type    = "TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  template {
    service_account                  = local.service_accounts[each.key].email
    timeout                          = "${var.timeout_seconds}s"
    max_instance_request_concurrency = var.concurrency
    gpu_zonal_redundancy_disabled    = var.gpu == null ? null : true # a reserve GPU in another zone costs more than a retry
    encryption_key                   = lookup(local.keys, "run", null)
    labels                           = var.labels

    scaling {
      min_instance_count = var.min_instances
      max_instance_count = var.max_instances
    }

    dynamic "node_selector" {
      for_each = var.gpu[*]
      content {
        accelerator = node_selector.value
      }
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
      image = var.image

      ports {
        container_port = 8080
      }

      resources {
        limits            = local.limits
        cpu_idle          = var.gpu == null # CPU is billed only during requests; not available with a GPU
        startup_cpu_boost = true            # billed only during the start, most of which is loading the model
      }

      dynamic "env" {
        for_each = local.environments[each.key]
        content {
          name  = env.key
          value = env.value
        }
      }

      # Every second, so that the probe adds at most one second; two minutes to download an artifact from the bucket.
      startup_probe {
        period_seconds    = 1
        timeout_seconds   = 1
        failure_threshold = 120
        http_get {
          path = "/ready"
          port = 8080
        }
      }
    }
  }

  # A new instance must be able to read its artifact, and to store and publish its first response. The repository outlives it.
  depends_on = [
    google_project_service.this,
    google_artifact_registry_repository.images,
    google_storage_bucket_iam_member.worker,
    google_storage_bucket_iam_member.endpoint,
    google_storage_bucket_iam_member.response_store,
    google_storage_bucket_iam_member.registry,
    google_pubsub_topic_iam_member.comparisons,
    google_pubsub_topic_iam_member.answers,
  ]
}
