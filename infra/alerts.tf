# Alerts and their recipients. How to respond: README.md, Monitoring.
variable "alerts" {
  description = "E-mail addresses for alerts, and the thresholds: seconds that a message waits, share of requests that the pipeline fails, distance of scores below their expected value."
  type = object({
    emails          = optional(set(string), [])
    backlog_seconds = optional(number, 900)  # longer than the retry backoff of a message, which is at most 10 minutes
    error_ratio     = optional(number, 0.05) # one failure in twenty: retries hide failures from senders but cost money
    score_drop      = optional(number, 0.1)  # the shipped model falls by at most 0.035 over each 100 of 4,000 test images, by 0.24 with noise, by 0.3 on unknown images
  })
  default  = {}
  nullable = false
  validation {
    condition     = alltrue([for email in var.alerts.emails : can(regex("^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$", email))])
    error_message = "alerts.emails must be addresses such as someone@example.com."
  }
  validation {
    condition     = var.alerts.backlog_seconds > 0 && var.alerts.error_ratio > 0 && var.alerts.error_ratio < 1 && var.alerts.score_drop > 0 && var.alerts.score_drop < 1
    error_message = "alerts: backlog_seconds must be above 0, and error_ratio and score_drop must be between 0 and 1."
  }
}

locals {
  # `for`: how long the condition must last, so that a cold start or a retry does not trigger it. Metrics are minutes late.
  alerts = {
    stuck = {
      is       = "requests wait and none is processed"
      severity = "CRITICAL"
      for      = "600s"
      query    = "${local.waiting.num_undelivered_messages.requests} > 0 unless on (subscription_id) ${local.acked} > 0"
    }
    backlog = {
      is       = "messages wait too long"
      severity = "WARNING"
      for      = "300s"
      query    = "${local.waiting.oldest_unacked_message_age.live} > ${var.alerts.backlog_seconds}"
    }
    dead_letters = {
      is       = "dead letters wait for an operator"
      severity = "ERROR"
      for      = "0s"
      query    = "${local.waiting.num_undelivered_messages.dead_letters} > 0"
    }
    errors = {
      is       = "too many requests fail because of the service"
      severity = "ERROR"
      for      = "300s"
      # More than ten, because one request that fails repeatedly does so six times in ten minutes.
      query = "sum(${local.increase.failed["10m"]}) / sum(${local.increase.ended["10m"]}) > ${var.alerts.error_ratio} and sum(${local.increase.failed["10m"]}) > 10"
    }
    drift = {
      is       = "scores are below their usual values for this model"
      severity = "WARNING"
      for      = "0s"
      # Over one day, and more than 100 predictions, because fewer are not significant.
      query = "sum(${local.shortfall}) / sum(${local.increase.compared["1d"]}) > ${var.alerts.score_drop} and sum(${local.increase.compared["1d"]}) > 100"
    }
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alerts.emails

  project      = var.project_id
  display_name = "${local.prefix}prediction: ${each.value}"
  type         = "email"
  labels       = { email_address = each.value }
  user_labels  = var.labels
  depends_on   = [google_project_service.this]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = merge(local.alerts, local.scale_alerts)

  project               = var.project_id
  display_name          = "${local.prefix}prediction: ${each.value.is}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = values(google_monitoring_notification_channel.email)[*].id
  user_labels           = var.labels

  conditions {
    display_name = each.value.is
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.for
      evaluation_interval = "60s"
      # In a new project the metric does not exist before the worker's first log line.
      disable_metric_validation = true
    }
  }

  documentation {
    mime_type = "text/markdown"
    content   = "What to do: infra/README.md, Monitoring, `${each.key}`."
  }
}
