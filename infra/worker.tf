# The worker as a worker pool that pulls. It does not scale automatically, so it suits a steady, large load, or var.scale.
resource "google_cloud_run_v2_worker_pool" "worker" {
  count = var.compute == "worker" ? 1 : 0

  project             = var.project_id
  name                = "${local.prefix}prediction-pool"
  location            = var.region
  deletion_protection = var.deletion_protection
  labels              = var.labels

  dynamic "binary_authorization" {
    for_each = var.binary_authorization[*]
    content {
      use_default = binary_authorization.value == "default" ? true : null
      policy      = binary_authorization.value == "default" ? null : binary_authorization.value
    }
  }

  # The provider keeps the API's value of a block that is not configured: with var.scale, the job's.
  dynamic "scaling" {
    for_each = var.scale == null ? [var.instances] : []
    content {
      manual_instance_count = scaling.value
    }
  }

  # As the services' traffic (run.tf).
  instance_splits {
    type    = "INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"
    percent = 100
  }

  template {
    service_account               = local.service_accounts["worker"].email
    gpu_zonal_redundancy_disabled = var.gpu == null ? null : true
    encryption_key                = lookup(local.keys, "run", null)
    labels                        = var.labels

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
      image   = var.image
      command = ["python", "-m", "functions.entrypoints.pull_worker"]

      resources {
        limits = local.limits
      }

      dynamic "env" {
        for_each = merge(local.environment, {
          REQUEST_SUBSCRIPTION = google_pubsub_subscription.this[local.request_subscription].id
          DEAD_SUBSCRIPTION    = google_pubsub_subscription.this[local.dead_subscription].id
        })
        content {
          name  = env.key
          value = env.value
        }
      }
    }
  }

  # A pool without the right to pull would be restarted again and again.
  depends_on = [
    google_pubsub_subscription_iam_member.worker,
    google_pubsub_topic_iam_member.answers,
    google_storage_bucket_iam_member.worker,
    google_storage_bucket_iam_member.response_store,
    google_storage_bucket_iam_member.registry,
    google_pubsub_topic_iam_member.comparisons,
  ]
}
