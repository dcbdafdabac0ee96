# Alerts and their recipients. How to respond: runbook.md, under the alert's name.
variable "alerts" {
  description = "E-mail addresses for alerts, and the thresholds: seconds that a message waits, share of requests that the pipeline fails, distance of scores below their expected value (with `score_metrics` only), seconds of the HTTP endpoint's 95th percentile. `{ emails = [], backlog_seconds = 900, error_ratio = 0.05, score_drop = 0.1, endpoint_seconds = 10 }`"
  # Not an object, because Terraform drops the names that an object type does not have.
  type     = any
  default  = {}
  nullable = false
  validation {
    condition     = length(setsubtract(try(keys(var.alerts), ["alerts"]), concat(["emails"], keys(local.alert_defaults)))) == 0
    error_message = "alerts has ${substr(join(", ", setsubtract(try(keys(var.alerts), ["no names"]), concat(["emails"], keys(local.alert_defaults)))), 0, 100)}; it must have only emails, ${join(", ", keys(local.alert_defaults))}."
  }
  validation {
    condition     = try(var.alerts.emails, null) == null ? true : try(alltrue([for email in var.alerts.emails : can(regex(local.email, email))]), false)
    error_message = "alerts.emails has ${substr(try([for email in var.alerts.emails : coalesce(email, "null") if !can(regex(local.email, email))][0], "no list"), 0, 100)}; it must be a list of addresses such as someone@example.com."
  }
  validation {
    condition     = try(length(var.alerts.emails), 0) <= 16
    error_message = "alerts.emails has ${try(length(var.alerts.emails), 0)} addresses; Google allows at most 16 for an alert: name a group's address instead."
  }
  validation {
    condition     = alltrue([for name, default in local.alert_defaults : try(var.alerts[name], null) == null ? true : try(var.alerts[name] > 0 && (default >= 1 || var.alerts[name] < 1), false)])
    error_message = "alerts has ${try([for name, default in local.alert_defaults : "${name} = ${try(substr(var.alerts[name], 0, 60), "no number")}; it must be ${default < 1 ? "between 0 and 1" : "above 0"}" if try(var.alerts[name], null) == null ? false : !try(var.alerts[name] > 0 && (default >= 1 || var.alerts[name] < 1), false)][0], "")}."
  }
  validation {
    condition     = var.score_metrics || try(var.alerts.score_drop, null) == null
    error_message = "alerts.score_drop is ${try(tostring(coalesce(var.alerts.score_drop)), "set")}, but score_metrics is false: the alert drift compares these metrics. Leave score_drop out, or set score_metrics to true."
  }
}

locals {
  email = "^[^@[:space:]]+@[^@[:space:]]+[.][^@[:space:]]+$"
  alert_defaults = {
    backlog_seconds  = 900  # longer than the retry backoff of a message, which is at most 10 minutes
    error_ratio      = 0.05 # one failure in twenty: retries hide failures from senders but cost money
    score_drop       = 0.1  # the shipped model falls by at most 0.036 over each 100 of 4,000 test images, by 0.24 with noise, by 0.3 on unknown images
    endpoint_seconds = 10   # longer than a cold start and a batch
  }
  alert_emails = toset(try([for email in var.alerts.emails : email], []))
  alert        = { for name, default in local.alert_defaults : name => try(var.alerts[name], null) == null ? default : tonumber(var.alerts[name]) }
}

variable "runbook_url" {
  description = "Address of a copy of runbook.md that your operators can open, such as a page of your wiki: each alert links to its section there. Without it, alerts contain the section's text only."
  type        = string
  default     = null
  validation {
    condition     = var.runbook_url == null ? true : can(regex("^https?://[^[:space:]#]+$", var.runbook_url))
    error_message = "runbook_url is ${coalesce(var.runbook_url, "null")}; it must be an address that begins with https:// or http://, without a # part, because each alert adds its own."
  }
}

locals {
  # `for`: how long the condition must last, so that a cold start or a retry does not trigger it. Metrics are minutes late.
  # `every`: seconds between two evaluations. `logs`: the log lines to read first.
  alerts = merge(
    var.compute == "kafka" && !local.reports_lag ? {} : {
      stuck = {
        is       = "requests wait and none is processed"
        severity = "CRITICAL"
        for      = "600s"
        every    = 60
        logs     = local.complaints
        # More than ten, because one request that always fails waits for two hours without an ack.
        query = local.reports_lag ? local.stuck_on_kafka : "${local.waiting.num_undelivered_messages.requests} > 10 unless on (subscription_id) ${local.acked} > 0"
      }
    },
    {
      backlog = {
        is       = "messages wait too long"
        severity = "WARNING"
        for      = "300s"
        every    = 60
        logs     = local.complaints
        query    = join(" or ", concat(["${local.waiting.oldest_unacked_message_age.live} > ${local.alert.backlog_seconds}"], local.late_on_kafka))
      }
      dead_letters = {
        is       = "dead letters wait for an operator"
        severity = "ERROR"
        for      = "0s"
        every    = 60
        logs     = var.compute == "kafka" ? local.kafka_dead_letters : "${local.outcomes} AND jsonPayload.outcome=\"nacked\""
        query    = join(" or ", concat(["${local.waiting.num_undelivered_messages.dead_letters} > 0"], var.compute == "kafka" ? ["${local.kafka.dead_letters} > 0"] : []))
      }
      errors = {
        is       = "too many requests fail because of the service"
        severity = "ERROR"
        for      = "300s"
        every    = 60
        logs     = local.complaints
        # More than ten, because one request that fails repeatedly does so six times in ten minutes.
        query = "sum(${local.increase.failed["10m"]}) / sum(${local.increase.ended["10m"]}) > ${local.alert.error_ratio} and sum(${local.increase.failed["10m"]}) > 10"
      }
      failed_starts = {
        is       = "the model of starting instances is never loaded"
        severity = "ERROR"
        for      = "300s" # longer than a start, so that a burst of starts in progress does not trigger it
        every    = 60
        logs     = local.complaints
        # A count that has never been written is missing, not 0.
        query = "sum(${local.increase.begun["10m"]}) - sum(${local.increase.loads["10m"]}) > 3 or sum(${local.increase.begun["10m"]}) > 3 unless sum(${local.increase.loads["10m"]})"
      }
    },
    var.score_metrics ? {
      drift = {
        is       = "scores are below their usual values for this model"
        severity = "WARNING"
        for      = "0s"
        every    = 3600 # it reads a day, by label, and each value that a query returns is paid for
        logs     = local.answered
        # Over one day, and more than 100 predictions, because fewer are not significant.
        query = "sum(${local.shortfall}) / sum(${local.increase.compared["1d"]}) > ${local.alert.score_drop} and sum(${local.increase.compared["1d"]}) > 100"
      }
    } : {},
    local.from_registry ? {
      not_replaced = {
        is       = "a worker cannot load the model that an alias names"
        severity = "ERROR"
        for      = "0s"
        every    = 60
        logs     = local.not_replaced
        query    = "sum by (model, alias) (${local.increase.not_replaced["10m"]}) > 0"
      }
    } : {},
    var.nightly == null ? {} : {
      nightly_failed = {
        is       = "the nightly job has failed"
        severity = "ERROR"
        for      = "0s"
        every    = 300
        logs     = local.job_lines
        query    = "sum(increase(${format(local.completed, "failed")}[1h])) > 0"
      }
      nightly_missed = {
        is       = "no nightly job has succeeded for as long as one looks back"
        severity = "ERROR"
        for      = "3600s" # the job's timeout: a run may take longer than the one before
        every    = 3600
        logs     = local.job_lines
        query    = "absent_over_time(${format(local.completed, "succeeded")}[${ceil(local.nightly.hours * 60)}m])"
      }
    },
    var.http_endpoint == "off" ? {} : {
      endpoint_errors = {
        is       = "too many requests of the HTTP endpoint fail"
        severity = "ERROR"
        for      = "300s"
        every    = 60
        logs     = local.endpoint_lines
        # Cloud Run itself replies 429 or 5xx without an instance. Those requests are in no log line of the worker.
        query = "sum(increase(${local.refused}[10m])) / sum(increase(${local.called}[10m])) > ${local.alert.error_ratio} and sum(increase(${local.refused}[10m])) > 10"
      }
      endpoint_latency = {
        is       = "the HTTP endpoint is slow"
        severity = "WARNING"
        for      = "600s"
        every    = 60
        logs     = local.endpoint_lines
        query    = "histogram_quantile(0.95, sum by (le) (increase(${local.reply_ms}[10m]))) > ${1000 * local.alert.endpoint_seconds}"
      }
    },
  )

  # With the five minutes of `silent` and the 10 of `for`: 15 minutes without a report of any worker. A pool of 0 instances is silent.
  stuck_on_kafka = local.reports_lag ? "sum(${local.kafka.lag}) > 10 unless ${local.kafka.answered} > 0${var.instances == 0 ? "" : " or ${local.kafka.silent}"}" : ""

  # Little's law: messages that wait, divided by those that are finished in a second, is the seconds that each waits. As a
  # product, because a quotient has no value when nothing is finished.
  late_on_kafka = local.reports_lag ? ["600 * ${local.kafka.lag} > ${local.alert.backlog_seconds} * ${local.kafka.finished}"] : []

  complaints     = "${local.lines} AND severity>=WARNING"
  job_lines      = "resource.type=\"cloud_run_job\" AND resource.labels.job_name=\"${local.prefix}prediction-nightly\""
  endpoint_lines = "resource.labels.service_name=\"${local.prefix}prediction-endpoint\" AND severity>=WARNING"

  # A link's address may have 2,083 characters. In a query a plus is a plus, so spaces are %20.
  console   = "https://console.cloud.google.com"
  dashboard = "${local.console}/monitoring/dashboards/builder/${basename(google_monitoring_dashboard.this.id)}?project=${urlencode(var.project_id)}"
  log_links = {
    for name, alert in merge(local.alerts, local.scale_alerts) : name => "${local.console}/logs/query;query=${replace(urlencode(alert.logs), "+", "%20")};duration=PT3H?project=${urlencode(var.project_id)}"
  }
}

resource "google_monitoring_notification_channel" "email" {
  for_each = local.alert_emails

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
  notification_channels = concat(values(google_monitoring_notification_channel.email)[*].id, each.key == "drift" ? google_monitoring_notification_channel.training[*].id : [])
  user_labels           = var.labels

  conditions {
    display_name = each.value.is
    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.for
      evaluation_interval = "${each.value.every}s"
      # In a new project the metric does not exist before the worker's first log line.
      disable_metric_validation = true
    }
  }

  # An incident without data ends, so that the next one is announced: after half an hour, which is the least, or two evaluations.
  alert_strategy {
    auto_close = "${max(1800, 2 * each.value.every)}s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = "${local.runbook[each.key]}\n\nAll sections with these names: `make runbook ${local.target}`."

    dynamic "links" {
      for_each = var.runbook_url[*]
      content {
        display_name = "Runbook"
        url          = "${links.value}#${each.key}"
      }
    }
    links {
      display_name = "Dashboard"
      url          = local.dashboard
    }
    links {
      display_name = "Log lines"
      url          = local.log_links[each.key]
    }
  }
}
