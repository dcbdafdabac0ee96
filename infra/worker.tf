# The worker as a worker pool that pulls from Pub/Sub, or consumes Kafka's topics (kafka.tf). It does not scale
# automatically, so it suits a steady, large load, or var.scale.
locals {
  is_pool = contains(["worker", "kafka"], var.compute)
  pool = {
    worker = {
      module = "functions.entrypoints.pull_worker"
      environment = {
        REQUEST_SUBSCRIPTION = google_pubsub_subscription.this[local.request_subscription].id
        DEAD_SUBSCRIPTION    = google_pubsub_subscription.this[local.dead_subscription].id
      }
    }
    kafka = { module = "functions.entrypoints.kafka_worker", environment = local.kafka_environment }
  }
}

resource "google_cloud_run_v2_worker_pool" "worker" {
  count = local.is_pool ? 1 : 0

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
      command = ["python", "-m", local.pool[var.compute].module]

      resources {
        limits = local.limits
      }

      dynamic "env" {
        for_each = merge(local.environment, local.pool[var.compute].environment)
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "volume_mounts" {
        for_each = google_secret_manager_secret_iam_member.kafka
        content {
          name       = "kafka"
          mount_path = local.kafka_folder
        }
      }
    }

    dynamic "volumes" {
      for_each = google_secret_manager_secret_iam_member.kafka
      content {
        name = "kafka"
        secret {
          secret = "projects/${volumes.value.project}/secrets/${volumes.value.secret_id}"
          items {
            path    = basename(local.kafka_environment.KAFKA_CONFIG)
            version = "latest"
          }
        }
      }
    }
  }

  # A pool without the right to pull or to connect would be restarted again and again.
  depends_on = [
    google_managed_kafka_topic.this,
    google_project_iam_member.kafka,
    google_pubsub_subscription_iam_member.worker,
    google_pubsub_topic_iam_member.answers,
    google_storage_bucket_iam_member.worker,
    google_storage_bucket_iam_member.response_store,
    google_storage_bucket_iam_member.registry,
    google_pubsub_topic_iam_member.comparisons,
  ]
}
