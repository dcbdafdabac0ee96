# Metrics of requests over all instances, which Cloud Logging counts from the worker's log lines.
variable "score_metrics" {
  description = "Count scores by label, for the alert `drift` and two charts. Each label of the model is a time series that costs money (`predictions plan --labels`)."
  type        = bool
  default     = true
  nullable    = false
}

locals {
  # With the names of all scorers, so that a change of compute leaves no gap.
  lines = "(resource.labels.service_name=(${join(" OR ", [for part in ["worker", "function", "endpoint"] : "\"${local.prefix}prediction-${part}\""])}) OR resource.labels.worker_pool_name=\"${local.prefix}prediction-pool\")"

  outcomes     = "${local.lines} AND jsonPayload.logger=\"functions.observability.request_log\""
  answered     = "${local.outcomes} AND jsonPayload.outcome=\"ok\""
  not_replaced = "${local.lines} AND jsonPayload.logger=\"functions.runtime.model_problems\" AND jsonPayload.message=\"model not replaced\""
  stages       = ["queue", "fetch", "decode", "predict", "total"]

  milliseconds = merge(
    # A stage of 0 ms did not occur: an image inside its message is not fetched.
    { for stage in local.stages : stage => {
      is     = "Milliseconds of successful requests in the stage ${stage}, from the response's timing_ms."
      filter = "${local.answered} AND jsonPayload.timing_ms.${stage}>0"
      field  = "timing_ms.${stage}"
    } },
    { load = {
      is     = "Milliseconds until the model was loaded, once per process; the count is the number of cold starts."
      filter = "${local.lines} AND jsonPayload.logger=\"functions.bootstrap\" AND jsonPayload.load_ms>0"
      field  = "load_ms"
    } },
  )

  # Over Kafka: what each process of the pool logs once a minute for each topic that it consumes. It does not for a share
  # group, whose lag only the brokers know.
  reports_lag = var.compute == "kafka" && lookup(var.settings, "KAFKA_GROUP", "consumer") != "share"
  consumed = local.reports_lag ? {
    lag      = "Messages of the assigned partitions that are not finished, by topic, once a minute."
    finished = "Messages that were finished since the line before, by topic."
  } : {}
  kafka_dead_letters = "${local.lines} AND jsonPayload.logger=\"functions.kafka.deliveries\" AND jsonPayload.message=\"dead letter\""

  scores = var.score_metrics ? {
    score          = "Best score of successful requests, by label."
    expected-score = "Mean best score of that label on validation images, from the artifact."
  } : {}
}

resource "google_logging_metric" "outcomes" {
  project     = var.project_id
  name        = "${local.prefix}prediction-outcomes"
  description = "Requests by outcome."
  filter      = local.outcomes

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "outcome"
      description = "ok, error, ignored, nacked, malformed or refused"
    }
    labels {
      key         = "code"
      description = "Error code, when the outcome is not ok."
    }
  }

  label_extractors = {
    outcome = "EXTRACT(jsonPayload.outcome)"
    code    = "EXTRACT(jsonPayload.code)"
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "starts" {
  project     = var.project_id
  name        = "${local.prefix}prediction-starts"
  description = "Processes that began to start. Those that loaded their model are the count of prediction-ms-load."
  filter      = "${local.lines} AND jsonPayload.logger=\"functions.bootstrap\" AND jsonPayload.message=\"starting\""

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.this]
}

# A worker logs each failure to follow an alias once, and continues to serve the model that it has.
resource "google_logging_metric" "not_replaced" {
  count = local.from_registry ? 1 : 0

  project     = var.project_id
  name        = "${local.prefix}prediction-not-replaced"
  description = "Models that a worker could not load when their alias changed."
  filter      = local.not_replaced

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"

    labels {
      key         = "model"
      description = "Name of the model."
    }
    labels {
      key         = "alias"
      description = "The alias that changed."
    }
  }

  label_extractors = {
    model = "EXTRACT(jsonPayload.model)"
    alias = "EXTRACT(jsonPayload.alias)"
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "consumed" {
  for_each = local.consumed

  project         = var.project_id
  name            = "${local.prefix}prediction-kafka-${each.key}"
  description     = each.value
  filter          = "${local.lines} AND jsonPayload.logger=\"functions.kafka.lag\" AND jsonPayload.${each.key}>=0"
  value_extractor = "EXTRACT(jsonPayload.${each.key})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"

    labels {
      key         = "topic"
      description = "The request topic, or its delay topic."
    }
  }

  label_extractors = {
    topic = "EXTRACT(jsonPayload.topic)"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 16
      growth_factor      = 4
      scale              = 1 # up to four billion; only sums and counts are asked for
    }
  }

  depends_on = [google_project_service.this]
}

# Kafka keeps no count of the dead letters that wait.
resource "google_logging_metric" "kafka_dead_letters" {
  count = var.compute == "kafka" ? 1 : 0

  project     = var.project_id
  name        = "${local.prefix}prediction-kafka-dead-letters"
  description = "Dead letters that the worker published."
  filter      = local.kafka_dead_letters

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "milliseconds" {
  for_each = local.milliseconds

  project         = var.project_id
  name            = "${local.prefix}prediction-ms-${each.key}"
  description     = each.value.is
  filter          = each.value.filter
  value_extractor = "EXTRACT(jsonPayload.${each.value.field})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "ms"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 48
      growth_factor      = 1.5
      scale              = 0.5 # up to a day and a half, the longest wait of a request in the queue
    }
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "scores" {
  for_each = local.scores

  project         = var.project_id
  name            = "${local.prefix}prediction-${each.key}"
  description     = each.value
  filter          = "${local.answered} AND jsonPayload.${replace(each.key, "-", "_")}>=0"
  value_extractor = "EXTRACT(jsonPayload.${replace(each.key, "-", "_")})"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "1"

    labels {
      key         = "label"
      description = "The best label."
    }
  }

  label_extractors = {
    label = "EXTRACT(jsonPayload.label)"
  }

  bucket_options {
    linear_buckets {
      num_finite_buckets = 20
      width              = 0.05
      offset             = 0
    }
  }

  depends_on = [google_project_service.this]
}
