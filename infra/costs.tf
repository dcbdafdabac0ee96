# The approximate cost of the last 24 hours: usage metrics of Cloud Monitoring at list prices.
locals {
  # USD in tier 1 regions, the same as in client/plan/prices.toml (a test compares them).
  usd = {
    run_cpu           = 0.000024
    run_memory        = 0.0000025
    run_requests      = 0.0000004
    pool_cpu          = 0.000018
    pool_memory       = 0.000002
    pubsub_throughput = 0.0390625
  }
  gib = local.memory_mib / 1024

  # One second of an instance. A service with a GPU is billed like a pool: always.
  usd_a_second = {
    service = var.gpu == null ? var.cpu * local.usd.run_cpu + local.gib * local.usd.run_memory : var.cpu * local.usd.pool_cpu + local.gib * local.usd.pool_memory
    pool    = var.cpu * local.usd.pool_cpu + local.gib * local.usd.pool_memory
  }

  costs = merge(
    { instances = "sum(${join(" or ", [for kind, matcher in local.scored_on : "${format("%.6g", local.usd_a_second[kind])} * increase(run_googleapis_com:container_billable_instance_time{${matcher}}[1d])"])})" },
    { for kind in keys(local.scored_on) : "requests" => "${local.usd.run_requests} * sum(increase(run_googleapis_com:request_count{${local.services_matcher}}[1d]))" if kind == "service" },
    { messages = "${local.usd.pubsub_throughput} / 2 ^ 30 * sum(increase(pubsub_googleapis_com:topic_byte_cost{monitored_resource=\"pubsub_topic\", topic_id=~\"${join("|", values(local.topics)[*].name)}\"}[1d]) or increase(pubsub_googleapis_com:subscription_byte_cost{monitored_resource=\"pubsub_subscription\", subscription_id=~\"${join("|", values(google_pubsub_subscription.this)[*].name)}\"}[1d]))" },
  )
}
