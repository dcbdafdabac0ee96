# The worker over Kafka instead of Pub/Sub, if var.compute is kafka: on a cluster of yours, or on one of Google's Managed
# Service for Apache Kafka. docs/kafka.md says when, and what differs.
variable "kafka" {
  description = "The Kafka cluster of yours that `compute = \"kafka\"` consumes: its `bootstrap` addresses, and the id of a secret in Secret Manager with librdkafka's properties, a line `name=value` each, such as a password. `{ bootstrap, config_secret = \"\" }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(string)
  default = null
  validation {
    condition     = var.kafka == null ? true : length(setsubtract(keys(var.kafka), ["bootstrap", "config_secret"])) == 0
    error_message = "kafka has ${substr(join(", ", try(setsubtract(keys(var.kafka), ["bootstrap", "config_secret"]), [])), 0, 100)}; it must have only bootstrap and config_secret."
  }
  validation {
    condition     = var.kafka == null ? true : can(regex("^[A-Za-z0-9._-]+:[1-9][0-9]{0,4}(,[A-Za-z0-9._-]+:[1-9][0-9]{0,4})*$", var.kafka.bootstrap))
    error_message = "kafka.bootstrap is ${substr(coalesce(try(var.kafka.bootstrap, null), "null"), 0, 100)}; it must be host:port, or several of them with commas between."
  }
  validation {
    condition     = try(var.kafka.config_secret, null) == null ? true : can(regex("^(projects/[^/]+/secrets/[A-Za-z0-9_-]+)?$", var.kafka.config_secret))
    error_message = "kafka.config_secret is ${substr(coalesce(try(var.kafka.config_secret, null), "null"), 0, 100)}; it must be projects/P/secrets/S, without a version: an instance reads the latest one when it starts."
  }
  validation {
    condition     = (var.compute == "kafka" ? 1 : 0) == length(compact([var.kafka == null ? "" : "kafka", var.managed_kafka == null ? "" : "managed_kafka"]))
    error_message = "kafka is ${var.kafka == null ? "missing" : "set"}, managed_kafka is ${var.managed_kafka == null ? "missing" : "set"}, and compute is ${var.compute}; with compute kafka set one of them, kafka for a cluster of yours and managed_kafka for a new one, and with another compute none."
  }
}

variable "managed_kafka" {
  description = "For `compute = \"kafka\"`, create a cluster of Google's Managed Service for Apache Kafka with the topics, reached through `subnetwork`. It never scales to zero: the smallest costs about $138 a month and its disks, with or without requests. Partitions limit how many instances handle requests at the same time. `{ vcpus = 3, memory_gib = 3, partitions = 12 }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type    = map(number)
  default = null
  validation {
    condition     = var.managed_kafka == null ? true : length(setsubtract(keys(var.managed_kafka), keys(local.managed_kafka_defaults))) == 0
    error_message = "managed_kafka has ${substr(join(", ", try(setsubtract(keys(var.managed_kafka), keys(local.managed_kafka_defaults)), [])), 0, 100)}; it must have only ${join(", ", keys(local.managed_kafka_defaults))}."
  }
  validation {
    condition     = alltrue([for value in values(coalesce(var.managed_kafka, {})) : value == null ? true : floor(value) == value]) && coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus) >= 3
    error_message = "managed_kafka has ${join(", ", [for name, value in coalesce(var.managed_kafka, {}) : "${name} = ${coalesce(value, 0)}"])}; each must be a whole number, and vcpus at least 3."
  }
  validation {
    condition     = coalesce(try(var.managed_kafka.memory_gib, null), local.managed_kafka_defaults.memory_gib) >= coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus) && coalesce(try(var.managed_kafka.memory_gib, null), local.managed_kafka_defaults.memory_gib) <= 8 * coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus)
    error_message = "managed_kafka.memory_gib is ${coalesce(try(var.managed_kafka.memory_gib, null), local.managed_kafka_defaults.memory_gib)}; with ${coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus)} vCPUs it must be from ${coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus)} to ${8 * coalesce(try(var.managed_kafka.vcpus, null), local.managed_kafka_defaults.vcpus)}."
  }
  validation {
    condition     = coalesce(try(var.managed_kafka.partitions, null), local.managed_kafka_defaults.partitions) >= 1 && coalesce(try(var.managed_kafka.partitions, null), local.managed_kafka_defaults.partitions) <= 1000
    error_message = "managed_kafka.partitions is ${coalesce(try(var.managed_kafka.partitions, null), local.managed_kafka_defaults.partitions)}; it must be from 1 to 1000."
  }
  validation {
    condition     = var.managed_kafka == null || var.subnetwork != null
    error_message = "managed_kafka is set and subnetwork is not; set subnetwork: the cluster's brokers have addresses in it, and nowhere else."
  }
}

locals {
  managed_kafka_defaults = {
    vcpus      = 3 # Google's least: one for each of three brokers
    memory_gib = 3
    partitions = 12 # as the twin's (infra/local/kafka_topics.py)
  }
  managed_kafka = { for name, default in local.managed_kafka_defaults : name => try(var.managed_kafka[name], null) == null ? default : var.managed_kafka[name] }
}

locals {
  # Kafka has one retention for a topic: the longest of the topic's and its subscriptions'.
  kafka_retention_s = {
    for name, given in local.topology.topics : name => max(concat(
      [for retention in try([given.retention], []) : tonumber(trimsuffix(retention, "s"))],
      [for subscription in values(local.subscriptions) : tonumber(trimsuffix(subscription.retention, "s")) if subscription.topic == name],
    )...)
  }
  # With a topic for retries of each one whose requests may become dead letters.
  kafka_topics = {
    for name, seconds in merge(
      local.kafka_retention_s,
      { for given in values(local.for_worker) : "${given.topic}-retry" => local.kafka_retention_s[given.topic] if can(given.dead_letter) },
      ) : name => {
      "retention.ms"      = tostring(1000 * seconds)
      "max.message.bytes" = "11000000" # MAX_MESSAGE_BYTES of functions/kafka/connection.py
    }
  }

  kafka_secret = compact(split("/", try(coalesce(var.kafka.config_secret), "")))
  kafka_folder = "/etc/kafka" # where an instance finds the secret

  kafka_environment = merge(
    {
      KAFKA_BOOTSTRAP = var.kafka == null ? join(",", [for cluster in google_managed_kafka_cluster.this : "bootstrap.${cluster.cluster_id}.${cluster.location}.managedkafka.${cluster.project}.cloud.goog:9092"]) : var.kafka.bootstrap
      REQUEST_TOPIC   = "${local.prefix}${local.request_topic}"
      RESPONSE_TOPIC  = "${local.prefix}${local.response_topic}"
      DEAD_TOPIC      = "${local.prefix}dead_predict"

      KAFKA_MAX_ATTEMPTS  = tostring(local.subscriptions[local.request_subscription].dead_letter.max_delivery_attempts)
      KAFKA_MIN_BACKOFF_S = tostring(max(0.1, tonumber(trimsuffix(local.subscriptions[local.request_subscription].retry.minimum_backoff, "s"))))
      KAFKA_MAX_BACKOFF_S = tostring(max(0.1, tonumber(trimsuffix(local.subscriptions[local.request_subscription].retry.maximum_backoff, "s"))))
    },
    var.managed_kafka == null ? {} : { KAFKA_OAUTH = "google" },
    local.from_registry ? { COMPARISON_TOPIC = "${local.prefix}${local.comparison_topic}" } : {},
    length(local.kafka_secret) == 0 ? {} : { KAFKA_CONFIG = "${local.kafka_folder}/librdkafka.properties" },
  )
}

resource "google_managed_kafka_cluster" "this" {
  count = var.managed_kafka == null ? 0 : 1

  project    = var.project_id
  location   = var.region
  cluster_id = "${local.prefix}prediction"
  labels     = var.labels

  capacity_config {
    vcpu_count   = tostring(local.managed_kafka.vcpus)
    memory_bytes = tostring(local.managed_kafka.memory_gib * 1073741824)
  }

  gcp_config {
    kms_key = lookup(local.keys, "managedkafka", null)
    access_config {
      network_configs {
        subnet = var.subnetwork
      }
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_managed_kafka_topic" "this" {
  for_each = { for name, configs in local.kafka_topics : name => configs if var.managed_kafka != null }

  project            = var.project_id
  location           = var.region
  cluster            = google_managed_kafka_cluster.this[0].cluster_id
  topic_id           = "${local.prefix}${each.key}"
  partition_count    = local.managed_kafka.partitions
  replication_factor = 3 # a broker in each of three zones
  configs            = each.value
}

# To connect; the service has no smaller scope than a project, and without ACLs of yours it includes every topic.
resource "google_project_iam_member" "kafka" {
  count = var.managed_kafka == null ? 0 : 1

  project = var.project_id
  role    = "roles/managedkafka.client"
  member  = local.service_accounts["worker"].member
}

resource "google_secret_manager_secret_iam_member" "kafka" {
  count = length(local.kafka_secret) == 0 ? 0 : 1

  project   = local.kafka_secret[1]
  secret_id = local.kafka_secret[3]
  role      = "roles/secretmanager.secretAccessor"
  member    = local.service_accounts["worker"].member
}

output "kafka" {
  description = "Kafka's `bootstrap` addresses, for `--broker kafka://...`, and the names of its topics for requests and responses; null with another `compute`."
  value = var.compute == "kafka" ? tomap({
    bootstrap      = local.kafka_environment.KAFKA_BOOTSTRAP
    request_topic  = local.kafka_environment.REQUEST_TOPIC
    response_topic = local.kafka_environment.RESPONSE_TOPIC
  }) : null
  depends_on = [google_managed_kafka_topic.this, google_project_iam_member.kafka]
}
