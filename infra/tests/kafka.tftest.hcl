# The worker over Kafka: on a cluster of one's own, and on Google's managed service.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
  compute    = "kafka"
  kafka      = { bootstrap = "one.example.com:9092,two.example.com:9092" }
}

run "own_cluster" {
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].command == tolist(["python", "-m", "functions.entrypoints.kafka_worker"]) && length(google_cloud_run_v2_service.this) == 0
    error_message = "The worker is a pool that consumes Kafka's topics."
  }
  assert {
    condition = { for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : env.name => env.value } == {
      ALLOWED_BUCKETS      = "some-project-payloads,some-project-uploads"
      DEAD_TOPIC           = "dead_predict"
      GOOGLE_CLOUD_PROJECT = "some-project"
      HTTP_ENDPOINT        = "off"
      KAFKA_MAX_ATTEMPTS   = "20"
      KAFKA_MAX_BACKOFF_S  = "600"
      KAFKA_MIN_BACKOFF_S  = "10"
      KAFKA_BOOTSTRAP      = "one.example.com:9092,two.example.com:9092"
      REQUEST_TOPIC        = "req_predict"
      RESPONSE_TOPIC       = "res_predict"
      THREADS              = "80"
    }
    error_message = "The pool gets the brokers and the topics, and no subscription."
  }
  assert {
    condition     = length(google_cloud_run_v2_worker_pool.worker[0].template[0].volumes) == 0 && length(google_secret_manager_secret_iam_member.kafka) == 0 && !contains(keys(google_project_service.this), "secretmanager")
    error_message = "Without a secret there is nothing to mount."
  }
  assert {
    condition     = length(google_managed_kafka_cluster.this) == 0 && length(google_managed_kafka_topic.this) == 0 && length(google_project_iam_member.kafka) == 0 && !contains(keys(google_project_service.this), "managedkafka")
    error_message = "A cluster of one's own needs no managed one."
  }
  assert {
    condition     = length(google_pubsub_subscription_iam_member.worker) == 0 && length(google_pubsub_topic_iam_member.answers) == 0 && length(google_service_account_iam_member.pubsub_agent) == 0 && length(google_cloud_run_v2_service_iam_member.invoker) == 0
    error_message = "Over Kafka the worker needs no right on Pub/Sub."
  }
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.this : length(subscription.push_config) == 0]) && output.worker_url == null
    error_message = "Nothing is pushed; what waits in Pub/Sub waits on, for a bridge or a switch back."
  }
  assert {
    condition     = output.kafka["bootstrap"] == "one.example.com:9092,two.example.com:9092"
    error_message = "Clients learn the brokers from an output."
  }
}

run "alerts" {
  assert {
    condition     = replace(google_monitoring_alert_policy.this["stuck"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL") == "sum(sum by (topic) (increase(logging_googleapis_com:user_prediction_kafka_lag_sum{POOL}[10m])) / 10) > 10 unless sum(increase(logging_googleapis_com:user_prediction_outcomes{outcome!=\"nacked\", POOL}[10m])) > 0 or absent_over_time(logging_googleapis_com:user_prediction_kafka_lag_count{POOL}[5m])" && google_monitoring_alert_policy.this["stuck"].conditions[0].condition_prometheus_query_language[0].duration == "600s"
    error_message = "A lag without answers is stuck, and so is a group of which no worker has reported for 15 minutes."
  }
  assert {
    condition     = endswith(replace(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "> 900 or 600 * sum by (topic) (increase(logging_googleapis_com:user_prediction_kafka_lag_sum{POOL}[10m])) / 10 > 900 * sum by (topic) (increase(logging_googleapis_com:user_prediction_kafka_finished_sum{POOL}[10m]))") && strcontains(replace(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "oldest_unacked_message_age")
    error_message = "A topic is late when its lag takes longer than the threshold at its rate; what waits in Pub/Sub for a bridge is late as before."
  }
  assert {
    condition     = endswith(replace(google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "> 0 or sum(increase(logging_googleapis_com:user_prediction_kafka_dead_letters{POOL}[10m])) > 0") && strcontains(replace(google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "dead_bigquery-sub")
    error_message = "Dead letters of Kafka and of Pub/Sub trigger an alert, from the first one."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["dead_letters"].documentation[0].links[1].url, urlencode("logger=\"functions.kafka.deliveries\""))
    error_message = "The linked log lines are those of the dead letters."
  }
  assert {
    condition     = toset([for metric in google_logging_metric.consumed : metric.name]) == toset(["prediction-kafka-lag", "prediction-kafka-finished"]) && alltrue([for metric in google_logging_metric.consumed : strcontains(metric.filter, "worker_pool_name=\"prediction-pool\"") && strcontains(metric.filter, "logger=\"functions.kafka.lag\"") && metric.label_extractors == tomap({ topic = "EXTRACT(jsonPayload.topic)" })])
    error_message = "Lag and finished messages are counted by topic, from this pool's lines."
  }
  assert {
    condition     = strcontains(google_logging_metric.kafka_dead_letters[0].filter, "worker_pool_name=\"prediction-pool\"") && endswith(google_logging_metric.kafka_dead_letters[0].filter, " AND jsonPayload.logger=\"functions.kafka.deliveries\" AND jsonPayload.message=\"dead letter\"")
    error_message = "Dead letters are counted from this pool's lines."
  }
  assert {
    condition     = strcontains(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets[0].xyChart.dataSets[0].timeSeriesQuery.prometheusQuery, "kafka_lag_sum") && length(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets) == 12
    error_message = "The first chart is the lag."
  }
}

run "threshold_in_seconds" {
  variables {
    alerts = { backlog_seconds = 60 }
  }
  assert {
    condition     = endswith(replace(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "> 60 or 600 * sum by (topic) (increase(logging_googleapis_com:user_prediction_kafka_lag_sum{POOL}[10m])) / 10 > 60 * sum by (topic) (increase(logging_googleapis_com:user_prediction_kafka_finished_sum{POOL}[10m]))")
    error_message = "One threshold is that of both brokers."
  }
}

run "share_group" {
  variables {
    settings = { KAFKA_GROUP = "share" }
  }
  assert {
    condition     = !contains(keys(google_monitoring_alert_policy.this), "stuck") && length(google_logging_metric.consumed) == 0 && !strcontains(replace(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "kafka")
    error_message = "Only the brokers know the lag of a share group: no alert asks for it."
  }
  assert {
    condition     = strcontains(replace(google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "kafka_dead_letters") && !strcontains(google_monitoring_dashboard.this.dashboard_json, "kafka_lag")
    error_message = "Dead letters of a share group are counted, and no chart is empty."
  }
}

run "pool_without_instances" {
  variables {
    instances = 0
  }
  assert {
    condition     = !strcontains(replace(google_monitoring_alert_policy.this["stuck"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "absent") && strcontains(replace(google_monitoring_alert_policy.this["stuck"].conditions[0].condition_prometheus_query_language[0].query, "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"prediction-pool\"", "POOL"), "kafka_lag_sum")
    error_message = "A pool that was set to no instances may be silent."
  }
}

run "other_compute" {
  variables {
    compute = "worker"
    kafka   = null
  }
  assert {
    condition     = length(google_logging_metric.consumed) == 0 && length(google_logging_metric.kafka_dead_letters) == 0 && alltrue([for policy in google_monitoring_alert_policy.this : !strcontains(policy.conditions[0].condition_prometheus_query_language[0].query, "kafka")])
    error_message = "Without Kafka nothing is counted of it."
  }
}

run "secret" {
  variables {
    kafka  = { bootstrap = "one.example.com:9093", config_secret = "projects/keys/secrets/librdkafka" }
    prefix = "dev"
  }
  assert {
    condition     = google_secret_manager_secret_iam_member.kafka[0].project == "keys" && google_secret_manager_secret_iam_member.kafka[0].secret_id == "librdkafka" && google_secret_manager_secret_iam_member.kafka[0].role == "roles/secretmanager.secretAccessor" && google_secret_manager_secret_iam_member.kafka[0].member == google_service_account.this["worker"].member
    error_message = "The worker may read this secret, and no other."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].volumes[0].secret[0].secret == "projects/keys/secrets/librdkafka" && google_cloud_run_v2_worker_pool.worker[0].template[0].volumes[0].secret[0].items[0].version == "latest"
    error_message = "An instance reads the secret's latest version."
  }
  assert {
    condition     = contains([for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : "${env.name}=${env.value}"], "KAFKA_CONFIG=${google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].volume_mounts[0].mount_path}/${google_cloud_run_v2_worker_pool.worker[0].template[0].volumes[0].secret[0].items[0].path}")
    error_message = "The setting names the file of the secret."
  }
  assert {
    condition     = contains([for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : "${env.name}=${env.value}"], "REQUEST_TOPIC=dev-req_predict") && contains(keys(google_project_service.this), "secretmanager")
    error_message = "Topics have the prefix, and the API of secrets is enabled."
  }
}

run "managed" {
  variables {
    kafka         = null
    managed_kafka = { vcpus = 6, memory_gib = 12 }
    subnetwork    = "projects/some-project/regions/europe-west1/subnetworks/brokers"
    kms_key       = { id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
    prefix        = "dev"
  }
  assert {
    condition     = google_managed_kafka_cluster.this[0].cluster_id == "dev-prediction" && google_managed_kafka_cluster.this[0].capacity_config[0].vcpu_count == "6" && google_managed_kafka_cluster.this[0].capacity_config[0].memory_bytes == "12884901888"
    error_message = "The cluster has the given size."
  }
  assert {
    condition     = google_managed_kafka_cluster.this[0].gcp_config[0].access_config[0].network_configs[*].subnet == tolist([var.subnetwork]) && google_cloud_run_v2_worker_pool.worker[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == var.subnetwork
    error_message = "Brokers and workers are in the same subnetwork."
  }
  assert {
    condition     = google_managed_kafka_cluster.this[0].gcp_config[0].kms_key == var.kms_key.id && contains(keys(google_kms_crypto_key_iam_member.agent), "managedkafka")
    error_message = "Messages are encrypted with the key."
  }
  assert {
    condition     = toset(values(google_managed_kafka_topic.this)[*].topic_id) == toset(["dev-req_predict", "dev-req_predict-retry", "dev-res_predict", "dev-dead_predict", "dev-compare_predict", "dev-req_train"]) && alltrue([for topic in google_managed_kafka_topic.this : topic.partition_count == 12 && topic.replication_factor == 3])
    error_message = "The topics are those of topology.yaml, and one for retries."
  }
  assert {
    condition     = google_managed_kafka_topic.this["req_predict"].configs == tomap({ "retention.ms" = "604800000", "max.message.bytes" = "11000000" }) && google_managed_kafka_topic.this["req_predict-retry"].configs == google_managed_kafka_topic.this["req_predict"].configs
    error_message = "Requests are kept for a week, as by their subscription, and may have 10 MB."
  }
  assert {
    condition     = google_project_iam_member.kafka[0].role == "roles/managedkafka.client" && google_project_iam_member.kafka[0].member == google_service_account.this["worker"].member
    error_message = "The worker may connect."
  }
  assert {
    condition     = output.kafka["bootstrap"] == "bootstrap.dev-prediction.europe-west1.managedkafka.some-project.cloud.goog:9092" && contains([for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : "${env.name}=${env.value}"], "KAFKA_OAUTH=google")
    error_message = "The worker signs in with its service account."
  }
}

run "retention_follows_the_overrides" {
  variables {
    kafka              = null
    managed_kafka      = {}
    subnetwork         = "projects/some-project/regions/europe-west1/subnetworks/brokers"
    topology_overrides = { "subscriptions.req_predict-sub.retention" = "518400s" }
  }
  assert {
    condition     = google_managed_kafka_topic.this["req_predict"].configs["retention.ms"] == "518400000" && google_managed_kafka_cluster.this[0].capacity_config[0].vcpu_count == "3"
    error_message = "Kafka keeps requests for as long as the subscription would."
  }
}

run "refuses_kafka_without_a_cluster" {
  command = plan
  variables {
    kafka = null
  }
  expect_failures = [var.kafka]
}

run "refuses_two_clusters" {
  command = plan
  variables {
    managed_kafka = {}
    subnetwork    = "projects/some-project/regions/europe-west1/subnetworks/brokers"
  }
  expect_failures = [var.kafka]
}

run "refuses_a_cluster_for_another_compute" {
  command = plan
  variables {
    compute = "worker"
  }
  expect_failures = [var.kafka]
}

run "refuses_a_managed_cluster_without_a_subnetwork" {
  command = plan
  variables {
    kafka         = null
    managed_kafka = {}
  }
  expect_failures = [var.managed_kafka]
}
