# What became of requests, over all instances: counted by Cloud Logging from the worker's own lines, which outlive the instance.
locals {
  # Under each name that scorers have: a change of compute is no gap.
  outcomes = join(" AND ", [
    "(resource.labels.service_name=(${join(" OR ", [for part in ["worker", "function", "door"] : "\"${local.prefix}prediction-${part}\""])}) OR resource.labels.worker_pool_name=\"${local.prefix}prediction-pool\")",
    "jsonPayload.logger=\"functions.outcomes\"",
  ])
}

resource "google_logging_metric" "outcomes" {
  project     = var.project_id
  name        = "${local.prefix}prediction-outcomes"
  description = "Requests by how they ended."
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
      description = "Why, where it was not ok."
    }
  }

  label_extractors = {
    outcome = "EXTRACT(jsonPayload.outcome)"
    code    = "EXTRACT(jsonPayload.code)"
  }

  depends_on = [google_project_service.this]
}

resource "google_logging_metric" "latency" {
  project         = var.project_id
  name            = "${local.prefix}prediction-latency"
  description     = "Milliseconds from receipt to answer."
  filter          = "${local.outcomes} AND jsonPayload.outcome=\"ok\""
  value_extractor = "EXTRACT(jsonPayload.timing_ms.total)"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "DISTRIBUTION"
    unit        = "ms"
  }

  bucket_options {
    exponential_buckets {
      num_finite_buckets = 32
      growth_factor      = 1.5
      scale              = 0.5 # to a little over two minutes
    }
  }

  depends_on = [google_project_service.this]
}
