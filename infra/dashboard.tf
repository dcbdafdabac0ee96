# The dashboard: availability, latency, scores and cost.
locals {
  # Each line of a chart with its own name, as a label.
  named = {
    for chart, lines in {
      traffic = {
        asked = "sum(rate(pubsub_googleapis_com:topic_send_message_operation_count{monitored_resource=\"pubsub_topic\", topic_id=\"${local.topics[local.request_topic].name}\"}[10m]))"
        ended = "sum(${local.increase.ended["10m"]}) / 600"
      }
      latency = { for stage in local.stages : stage => "histogram_quantile(0.95, sum by (le) (${local.increase["${stage}_ms"]["10m"]}))" }
      starts = {
        processes  = "sum(${local.increase.begun["10m"]})"
        containers = "sum(${local.increase.starts["10m"]})"
        models     = "sum(${local.increase.loads["10m"]})"
      }
      start = {
        container = "histogram_quantile(0.95, sum by (le) (${local.increase.start_ms["10m"]}))"
        model     = "histogram_quantile(0.95, sum by (le) (${local.increase.load_ms["10m"]}))"
      }
      cost = local.costs
    } : chart => join(" or ", [for name, query in lines : "label_replace(${query}, \"what\", \"${name}\", \"\", \"\")"])
  }

  charts = concat(local.reports_lag ? [
    { title = "Lag of Kafka's topics", unit = "1", query = local.kafka.lag },
    ] : [], [
    { title = "Age of the oldest waiting message", unit = "s", query = local.waiting.oldest_unacked_message_age.live },
    { title = "Waiting messages, including dead letters", unit = "1", query = "${local.waiting.num_undelivered_messages.live} or ${local.waiting.num_undelivered_messages.dead_letters}" },
    { title = "Requests per second", unit = "1/s", query = local.named.traffic },
    { title = "Outcomes in 10 minutes", unit = "1", query = "sum by (outcome, code) (${local.increase.ended["10m"]})" },
    { title = "Latency by stage, 95th percentile", unit = "ms", query = local.named.latency },
    ], var.score_metrics ? [
    { title = "Mean score by class", unit = "1", query = "sum by (label) (${local.increase.scores["10m"]}) / sum by (label) (${local.increase.answers["10m"]})" },
    { title = "Scores below their usual values, by class, over a day", unit = "1", query = "(${local.shortfall}) / sum by (label) (${local.increase.compared["1d"]})" },
    ] : [], [
    { title = "Cold starts in 10 minutes", unit = "1", query = local.named.starts },
    { title = "Duration of a cold start, 95th percentile", unit = "ms", query = local.named.start },
    { title = "Approximate cost of the last 24 hours, in USD", unit = "USD", query = local.named.cost },
  ])

  notes = <<-EOT
    **Cost** is an estimate: instance seconds, requests and message bytes at list prices, without the free tier.
    Storage, logs, metrics, alerts, BigQuery, nightly jobs${var.gpu == null ? "" : ", the GPU itself"} and discounts are not included; min_instances count as always active.

    ${var.score_metrics ? "**Scores** are compared with the mean of the same label on validation images, if the artifact records it." : "**Scores** are not counted, because `score_metrics` is off."}
  EOT
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id
  dashboard_json = jsonencode({
    displayName = "${local.prefix}prediction"
    gridLayout = {
      columns = "2" # the API returns this 64-bit number as a string, and a number would differ from it in every plan
      widgets = concat(
        [for chart in local.charts : {
          title = chart.title
          xyChart = {
            dataSets = [{
              plotType        = "LINE"
              timeSeriesQuery = { prometheusQuery = chart.query, unitOverride = chart.unit }
            }]
          }
        }],
        [{ title = "How to read this", text = { content = local.notes, format = "MARKDOWN" } }],
      )
    }
  })
  depends_on = [google_project_service.this]
}
