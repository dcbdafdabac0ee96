# PromQL series for alerts (alerts.tf) and charts (dashboard.tf). A metric with several resource types must be selected by
# each type ("Mapping Cloud Monitoring metrics to PromQL", Google Cloud), so each type is selected and the results joined.
locals {
  services_matcher = "monitored_resource=\"cloud_run_revision\", service_name=~\"${join("|", [for part in ["worker", "function", "endpoint"] : "${local.prefix}prediction-${part}"])}\""
  pool_matcher     = "monitored_resource=\"cloud_run_worker_pool\", worker_pool_name=\"${local.prefix}prediction-pool\""

  # Where scorers run: a service in every mode except `worker` and `kafka`, where a pool and possibly the endpoint's service run.
  scored_on = merge(
    local.is_pool ? { pool = local.pool_matcher } : {},
    !local.is_pool || var.http_endpoint != "off" ? { service = local.services_matcher } : {},
  )

  logged = {
    for name, metric in merge({ outcomes = google_logging_metric.outcomes, starts = google_logging_metric.starts }, { for metric in google_logging_metric.not_replaced : "not_replaced" => metric }, { for metric in google_logging_metric.kafka_dead_letters : "kafka_dead_letters" => metric }, google_logging_metric.consumed, google_logging_metric.milliseconds, google_logging_metric.scores) :
    name => "logging_googleapis_com:user_${replace(metric.name, "-", "_")}"
  }

  series = merge(
    {
      ended    = "${local.logged.outcomes}{%s}"
      failed   = "${local.logged.outcomes}{code=\"unavailable\", %s}" # failures of the service: nacks and announced dead letters
      begun    = "${local.logged.starts}{%s}"
      loads    = "${local.logged.load}_count{%s}"
      load_ms  = "${local.logged.load}_bucket{%s}"
      starts   = "run_googleapis_com:container_startup_latencies_count{%s}"
      start_ms = "run_googleapis_com:container_startup_latencies_bucket{%s}"
    },
    var.score_metrics ? {
      answers  = "${local.logged.score}_count{%s}"
      scores   = "${local.logged.score}_sum{%s}"
      compared = "${local.logged.expected-score}_count{%s}"
      expected = "${local.logged.expected-score}_sum{%s}"
    } : {},
    local.from_registry ? { not_replaced = "${local.logged.not_replaced}{%s}" } : {},
    { for stage in local.stages : "${stage}_ms" => "${local.logged[stage]}_bucket{%s}" },
  )

  # By series and window.
  increase = {
    for name, series in local.series : name => {
      for window in ["10m", "1d"] : window => join(" or ", [for matcher in values(local.scored_on) : "increase(${format(series, matcher)}[${window}])"])
    }
  }

  # What the pool consumes of Kafka, in ten minutes. Each of its processes logs `lag` ten times in that time, so a tenth of the
  # sum is the mean of all of them together. A request that is nacked waits again, in the delay topic.
  kafka = var.compute != "kafka" ? {} : merge(
    {
      answered     = "sum(increase(${local.logged.outcomes}{outcome!=\"nacked\", ${local.pool_matcher}}[10m]))"
      dead_letters = "sum(increase(${local.logged.kafka_dead_letters}{${local.pool_matcher}}[10m]))"
    },
    local.reports_lag ? {
      lag      = "sum by (topic) (increase(${local.logged.lag}_sum{${local.pool_matcher}}[10m])) / 10"
      finished = "sum by (topic) (increase(${local.logged.finished}_sum{${local.pool_matcher}}[10m]))"
      silent   = "absent_over_time(${local.logged.lag}_count{${local.pool_matcher}}[5m])"
    } : {},
  )

  watched = {
    requests     = [google_pubsub_subscription.this[local.request_subscription].name]
    live         = concat([for name in sort(keys(local.for_worker)) : google_pubsub_subscription.this[name].name], google_pubsub_subscription.bigquery[*].name)
    dead_letters = concat([google_pubsub_subscription.this[local.dead_letters].name], google_pubsub_subscription.dead_bigquery[*].name)
  }

  # By metric and group of subscriptions.
  waiting = {
    for gauge in ["num_undelivered_messages", "oldest_unacked_message_age"] : gauge => {
      for whose, names in local.watched : whose => "max by (subscription_id) (pubsub_googleapis_com:subscription_${gauge}{monitored_resource=\"pubsub_subscription\", subscription_id=~\"${join("|", names)}\"})"
    }
  }

  acked = "sum by (subscription_id) (increase(pubsub_googleapis_com:subscription_ack_message_count{monitored_resource=\"pubsub_subscription\", subscription_id=~\"${join("|", local.watched.requests)}\"}[10m]))"

  # By label: how far the scores of a day's predictions are below their expected values, in total. Labels without a reference drop out.
  shortfall = var.score_metrics ? "sum by (label) (${local.increase.expected["1d"]}) - sum by (label) (${local.increase.scores["1d"]})" : ""

  # Executions of the nightly job that ended with a result (%s), and requests of the HTTP endpoint as Cloud Run counts them.
  completed   = "run_googleapis_com:job_completed_execution_count{monitored_resource=\"cloud_run_job\", job_name=\"${local.prefix}prediction-nightly\", result=\"%s\"}"
  of_endpoint = "monitored_resource=\"cloud_run_revision\", service_name=\"${local.prefix}prediction-endpoint\""
  called      = "run_googleapis_com:request_count{${local.of_endpoint}}"
  refused     = "run_googleapis_com:request_count{${local.of_endpoint}, response_code=~\"5..|429\"}"
  reply_ms    = "run_googleapis_com:request_latencies_bucket{${local.of_endpoint}}"
}
