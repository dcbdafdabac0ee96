# The content of topology.yaml, in the form that for_each needs.
locals {
  topology = yamldecode(file("${path.module}/topology.yaml"))
  prefix   = var.prefix == "" ? "" : "${var.prefix}-"

  subscriptions = {
    for name, given in local.topology.subscriptions : name => merge(
      given,
      given.delivery == "worker" && var.ack_deadline_seconds != null ? { ack_deadline_seconds = var.ack_deadline_seconds } : {},
    )
  }
  for_worker           = { for name, given in local.subscriptions : name => given if given.delivery == "worker" }
  dead_lettered        = { for name, given in local.subscriptions : name => given.dead_letter.topic if can(given.dead_letter) }
  response_topic       = "res_predict"
  request_topic        = "req_predict"
  request_subscription = "req_predict-sub"
  dead_subscription    = "dead_predict-announce"
  dead_letters         = "dead_predict-sub"
  shared_answers       = "res_predict-sub"
  models_bucket        = "models"
  uploads_bucket       = "uploads"
  payloads_bucket      = "payloads"

  shortest_deadline = min([for given in values(local.for_worker) : given.ack_deadline_seconds]...)
}
