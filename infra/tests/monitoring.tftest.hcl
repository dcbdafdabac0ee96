# Monitoring: alerts, dashboard and metrics, and how they depend on the variables.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "alerts" {
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.this)) == toset(["backlog", "dead_letters", "drift", "errors", "failed_starts", "stuck"])
    error_message = "There are six alerts."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.conditions[0].condition_prometheus_query_language[0].disable_metric_validation])
    error_message = "An alert can be created before its metric exists."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "> 900") && alltrue([for name in ["req_predict-sub", "dead_predict-announce", "res_predict-bigquery"] : strcontains(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, name)])
    error_message = "The backlog of every subscription with a permanent reader is watched."
  }
  assert {
    condition     = can(regex("\"dead_predict-sub\\|dead_bigquery-sub\"}\\) > 0$", google_monitoring_alert_policy.this["dead_letters"].conditions[0].condition_prometheus_query_language[0].query))
    error_message = "The subscriptions that keep dead letters are watched, from the first dead letter."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.this["errors"].conditions[0].condition_prometheus_query_language[0].query, "code=\"unavailable\"") && strcontains(google_monitoring_alert_policy.this["errors"].conditions[0].condition_prometheus_query_language[0].query, "> 0.05 and")
    error_message = "Errors are the service's failures as a share of all requests."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.this["errors"].conditions[0].condition_prometheus_query_language[0].query, "[10m])) > 10")
    error_message = "The alert for errors needs more than ten failures: one request that fails repeatedly does so six times in ten minutes."
  }
  assert {
    condition     = { for name, policy in google_monitoring_alert_policy.this : name => policy.conditions[0].condition_prometheus_query_language[0].duration } == { backlog = "300s", dead_letters = "0s", drift = "0s", errors = "300s", failed_starts = "300s", stuck = "600s" }
    error_message = "A cold start or a retry triggers no alert, and dead letters trigger one at once."
  }
  assert {
    condition     = can(regex("expected_score_sum.* - .*prediction_score_sum.*expected_score_count.*> 0.1 and .*> 100$", google_monitoring_alert_policy.this["drift"].conditions[0].condition_prometheus_query_language[0].query))
    error_message = "Drift is the mean fall of scores below their expected values, over enough predictions with both."
  }
  assert {
    condition     = can(regex("num_undelivered_messages.*> 10 unless on \\(subscription_id\\).*ack_message_count.*\\[10m\\].*> 0$", google_monitoring_alert_policy.this["stuck"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["stuck"].severity == "CRITICAL"
    error_message = "A backlog without acks is critical, even when the metric of acks has no data; one request that always fails is not."
  }
  assert {
    condition     = { for name, policy in google_monitoring_alert_policy.this : name => policy.conditions[0].condition_prometheus_query_language[0].evaluation_interval } == { backlog = "60s", dead_letters = "60s", drift = "3600s", errors = "60s", failed_starts = "60s", stuck = "60s" }
    error_message = "A query over a day is evaluated every hour, the others every minute."
  }
  assert {
    condition     = { for name, policy in google_monitoring_alert_policy.this : name => policy.alert_strategy[0].auto_close } == { backlog = "1800s", dead_letters = "1800s", drift = "7200s", errors = "1800s", failed_starts = "1800s", stuck = "1800s" }
    error_message = "An incident without data ends after half an hour, or after two evaluations."
  }
  assert {
    condition     = can(regex("prediction_starts.* - .*ms_load_count.* > 3 or .*prediction_starts.* > 3 unless sum.*ms_load_count[^>]*$", google_monitoring_alert_policy.this["failed_starts"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["failed_starts"].severity == "ERROR"
    error_message = "More than three processes that began and loaded no model trigger an alert, also when none has ever loaded one."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : policy.documentation[0].links[*].display_name == tolist(["Dashboard", "Log lines"])])
    error_message = "Every alert links to the dashboard and to log lines."
  }
  assert {
    condition     = alltrue([for name in ["backlog", "errors", "failed_starts", "stuck"] : strcontains(google_monitoring_alert_policy.this[name].documentation[0].links[1].url, urlencode("severity>=WARNING"))]) && strcontains(google_monitoring_alert_policy.this["dead_letters"].documentation[0].links[1].url, urlencode("outcome=\"nacked\"")) && strcontains(google_monitoring_alert_policy.this["drift"].documentation[0].links[1].url, urlencode("outcome=\"ok\""))
    error_message = "The linked log lines are those to read first."
  }
  assert {
    condition     = length(google_monitoring_notification_channel.email) == 0 && length(google_billing_budget.this) == 0
    error_message = "By default there are no recipients and no budget."
  }
}

run "recipients_are_notified" {
  variables {
    alerts = { emails = ["someone@example.com", "other@example.com"], backlog_seconds = 60, error_ratio = 0.2, score_drop = 0.3 }
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 50 }
    prefix = "dev"
  }
  override_data {
    target = data.google_project.this[0]
    values = { number = "123456789012" }
  }
  assert {
    condition     = toset([for channel in google_monitoring_notification_channel.email : channel.labels.email_address]) == toset(["someone@example.com", "other@example.com"])
    error_message = "Each address has a channel."
  }
  assert {
    condition     = alltrue([for policy in google_monitoring_alert_policy.this : toset(policy.notification_channels) == toset(values(google_monitoring_notification_channel.email)[*].id) && startswith(policy.display_name, "dev-")])
    error_message = "Every alert notifies all recipients and names the environment."
  }
  assert {
    condition     = endswith(google_monitoring_alert_policy.this["backlog"].conditions[0].condition_prometheus_query_language[0].query, "> 60") && strcontains(google_monitoring_alert_policy.this["errors"].conditions[0].condition_prometheus_query_language[0].query, "> 0.2 and") && strcontains(google_monitoring_alert_policy.this["drift"].conditions[0].condition_prometheus_query_language[0].query, "> 0.3 and")
    error_message = "Thresholds are as given."
  }
  assert {
    condition     = alltrue(flatten([for policy in google_monitoring_alert_policy.this : [for names in regexall("(?:_id|_name)=~\"([^\"]+)\"", policy.conditions[0].condition_prometheus_query_language[0].query) : [for name in split("|", names[0]) : startswith(name, "dev-")]]]))
    error_message = "An environment's alerts use only its own metrics."
  }
  assert {
    condition     = google_billing_budget.this[0].billing_account == "012345-6789AB-CDEF01" && google_billing_budget.this[0].amount[0].specified_amount[0].units == "50" && google_billing_budget.this[0].budget_filter[0].projects == toset(["projects/123456789012"])
    error_message = "The budget is the project's, by number, in whole units."
  }
  assert {
    condition     = [for rule in google_billing_budget.this[0].threshold_rules : rule.threshold_percent if rule.spend_basis == "FORECASTED_SPEND"] == [1] && length(google_billing_budget.this[0].threshold_rules) == 4
    error_message = "The budget also warns of forecasted spend."
  }
  assert {
    condition     = toset(google_billing_budget.this[0].all_updates_rule[0].monitoring_notification_channels) == toset(values(google_monitoring_notification_channel.email)[*].id)
    error_message = "Recipients of alerts get notifications of the budget."
  }
  assert {
    condition     = alltrue([for service in ["billingbudgets", "monitoring"] : contains(keys(google_project_service.this), service)])
    error_message = "The APIs that a budget and alerts need are enabled."
  }
}

run "nightly_job" {
  variables {
    nightly     = { bucket = "photos", hours = 169 }
    prefix      = "dev"
    runbook_url = "https://wiki.example/runbook"
  }
  assert {
    condition     = can(regex("^sum\\(increase\\([^{]*{[^}]*job_name=\"dev-prediction-nightly\", result=\"failed\"}\\[1h\\]\\)\\) > 0$", google_monitoring_alert_policy.this["nightly_failed"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["nightly_failed"].conditions[0].condition_prometheus_query_language[0].duration == "0s" && google_monitoring_alert_policy.this["nightly_failed"].severity == "ERROR"
    error_message = "One failed execution of the nightly job triggers an alert."
  }
  assert {
    condition     = can(regex("^absent_over_time\\([^{]*{[^}]*job_name=\"dev-prediction-nightly\", result=\"succeeded\"}\\[10140m\\]\\)$", google_monitoring_alert_policy.this["nightly_missed"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["nightly_missed"].conditions[0].condition_prometheus_query_language[0].duration == "3600s"
    error_message = "No success for as long as a run looks back, and for the longest run more, triggers an alert."
  }
  assert {
    condition     = google_monitoring_alert_policy.this["nightly_failed"].conditions[0].condition_prometheus_query_language[0].evaluation_interval == "300s" && google_monitoring_alert_policy.this["nightly_missed"].conditions[0].condition_prometheus_query_language[0].evaluation_interval == "3600s" && google_cloud_run_v2_job.nightly[0].template[0].template[0].timeout == "3600s"
    error_message = "The alerts of the nightly job need no evaluation every minute."
  }
  assert {
    condition     = alltrue([for name, policy in google_monitoring_alert_policy.this : policy.documentation[0].links[0].url == "https://wiki.example/runbook#${name}"])
    error_message = "Every alert links to its section of the runbook."
  }
}

run "endpoint" {
  variables {
    http_endpoint = "internal"
    alerts        = { endpoint_seconds = 2.5, error_ratio = 0.2 }
  }
  assert {
    condition     = length(setsubtract(["endpoint_errors", "endpoint_latency"], keys(google_monitoring_alert_policy.this))) == 0 && !contains(keys(google_monitoring_alert_policy.this), "nightly_missed")
    error_message = "The HTTP endpoint has two alerts."
  }
  assert {
    condition     = can(regex("service_name=\"prediction-endpoint\", response_code=~\"5..\\|429\".* / .*service_name=\"prediction-endpoint\"}\\[10m\\]\\)\\) > 0.2 and .*response_code=~\"5..\\|429\".* > 10$", google_monitoring_alert_policy.this["endpoint_errors"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["endpoint_errors"].conditions[0].condition_prometheus_query_language[0].duration == "300s" && google_monitoring_alert_policy.this["endpoint_errors"].severity == "ERROR"
    error_message = "Errors of the endpoint are 5xx and 429, as a share of its requests, and more than ten."
  }
  assert {
    condition     = can(regex("^histogram_quantile\\(0.95, .*service_name=\"prediction-endpoint\".* > 2500$", google_monitoring_alert_policy.this["endpoint_latency"].conditions[0].condition_prometheus_query_language[0].query)) && google_monitoring_alert_policy.this["endpoint_latency"].conditions[0].condition_prometheus_query_language[0].duration == "600s" && google_monitoring_alert_policy.this["endpoint_latency"].severity == "WARNING"
    error_message = "The latency is that of 95 % of the endpoint's requests, in milliseconds, for 10 minutes."
  }
}

run "no_score_metrics" {
  variables {
    score_metrics = false
  }
  assert {
    condition     = length(google_logging_metric.scores) == 0 && !contains(keys(google_monitoring_alert_policy.this), "drift")
    error_message = "Without score metrics there is no alert that compares them."
  }
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets) == 9 && strcontains(google_monitoring_dashboard.this.dashboard_json, "not counted")
    error_message = "Without score metrics two charts are missing, and the note says why."
  }
}

run "dashboard" {
  assert {
    condition     = length(jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.widgets) == 11 && !strcontains(google_monitoring_dashboard.this.dashboard_json, "cloud_run_worker_pool")
    error_message = "The dashboard has ten charts and a note."
  }
  assert {
    condition     = jsondecode(google_monitoring_dashboard.this.dashboard_json).gridLayout.columns == "2"
    error_message = "The number of columns is a string, as the API returns it: a number would differ in every plan."
  }
  assert {
    condition     = strcontains(google_monitoring_dashboard.this.dashboard_json, "sum(5.05e-05 * increase(run_googleapis_com:container_billable_instance_time")
    error_message = "A second of 2 vCPUs and 1 GiB costs $0.0000505."
  }
}

run "dashboard_of_a_pool" {
  variables {
    compute = "worker"
    cpu     = 4
    memory  = "2048Mi"
  }
  assert {
    condition     = !strcontains(google_monitoring_dashboard.this.dashboard_json, "cloud_run_revision") && strcontains(google_monitoring_dashboard.this.dashboard_json, "worker_pool_name=\\\"prediction-pool\\\"")
    error_message = "A pool's metrics are selected by the resource type of pools."
  }
  assert {
    condition     = strcontains(google_monitoring_dashboard.this.dashboard_json, "sum(7.6e-05 * increase(") && !strcontains(google_monitoring_dashboard.this.dashboard_json, "request_count")
    error_message = "A second of 4 vCPUs and 2 GiB costs $0.000076 in a pool, and requests nothing."
  }
}

run "dashboard_of_a_pool_and_an_endpoint" {
  variables {
    compute       = "worker"
    http_endpoint = "internal"
  }
  assert {
    condition     = can(regex("sum by \\(outcome, code\\) \\(increase\\([^()]*cloud_run_worker_pool[^()]*\\) or increase\\([^()]*cloud_run_revision[^()]*\\)\\)", replace(google_monitoring_dashboard.this.dashboard_json, "\\\"", "'")))
    error_message = "The endpoint's metrics are added to the pool's."
  }
}

run "metrics" {
  assert {
    condition     = strcontains(google_logging_metric.outcomes.filter, "jsonPayload.logger=\"functions.observability.request_log\"")
    error_message = "Outcomes are counted from this worker's log lines, one per request."
  }
  assert {
    condition     = alltrue([for metric in concat([google_logging_metric.outcomes], values(google_logging_metric.scores)) : toset([for label in metric.metric_descriptor[0].labels : label.key]) == toset(keys(metric.label_extractors))])
    error_message = "Every label of a metric is read from the log line."
  }
  assert {
    condition     = alltrue([for metric in concat([google_logging_metric.outcomes, google_logging_metric.starts], values(google_logging_metric.milliseconds), values(google_logging_metric.scores)) : strcontains(metric.filter, "\"prediction-worker\"") && strcontains(metric.filter, "worker_pool_name=\"prediction-pool\"")])
    error_message = "Only this worker's log lines count, in every compute mode."
  }
  assert {
    condition     = toset(keys(google_logging_metric.milliseconds)) == toset(["queue", "fetch", "decode", "predict", "total", "load"])
    error_message = "There are metrics of the latency of each stage and of a start."
  }
}

run "refuses_an_alert_to_nowhere" {
  command = plan
  variables {
    alerts = { emails = ["someone"] }
  }
  expect_failures = [var.alerts]
}

run "refuses_a_share_in_percent" {
  command = plan
  variables {
    alerts = { error_ratio = 5 }
  }
  expect_failures = [var.alerts]
}

run "refuses_a_threshold_of_drift_without_scores" {
  command = plan
  variables {
    score_metrics = false
    alerts        = { score_drop = 0.2 }
  }
  expect_failures = [var.alerts]
}

run "refuses_an_endpoint_that_takes_no_time" {
  command = plan
  variables {
    alerts = { endpoint_seconds = 0 }
  }
  expect_failures = [var.alerts]
}

run "refuses_a_runbook_with_a_section" {
  command = plan
  variables {
    runbook_url = "https://wiki.example/runbook#stuck"
  }
  expect_failures = [var.runbook_url]
}

run "refuses_a_budget_of_cents" {
  command = plan
  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 49.5 }
  }
  expect_failures = [var.budget]
}

run "refuses_a_budget_that_tells_six" {
  command = plan
  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 50 }
    alerts = { emails = [for name in ["a", "b", "c", "d", "e", "f"] : "${name}@example.com"] }
  }
  expect_failures = [var.budget]
}

run "refuses_a_silent_worker" {
  command = plan
  variables {
    settings = { LOG_LEVEL = "WARNING" }
  }
  expect_failures = [var.settings]
}
