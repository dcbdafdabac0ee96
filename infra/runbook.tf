# The sections of runbook.md with this deployment's names, which alerts contain. `make runbook` prints the whole page.
locals {
  names = {
    WORKSPACE             = join(".", compact([var.project_id, var.prefix]))
    PROJECT               = var.project_id
    REGION                = var.region
    DEPLOY                = "${local.target} TFVARS=YOURS.tfvars"
    DOCTOR                = "--project ${var.project_id} --region ${var.region} --compute ${var.compute}${var.prefix == "" ? "" : " --prefix ${var.prefix}"}"
    LINES                 = local.lines
    WORKER                = "${local.prefix}prediction-${local.worker_part}"
    ENDPOINT              = "${local.prefix}prediction-endpoint"
    NIGHTLY               = "${local.prefix}prediction-nightly"
    SCALE                 = "${local.prefix}prediction-scale"
    REQUEST_TOPIC         = local.topics[local.request_topic].name
    RESPONSE_TOPIC        = local.topics[local.response_topic].name
    DEAD_TOPIC            = "${local.prefix}dead_predict"
    REQUEST_SUBSCRIPTION  = google_pubsub_subscription.this[local.request_subscription].name
    ANNOUNCE_SUBSCRIPTION = google_pubsub_subscription.this[local.dead_subscription].name
    DEAD_SUBSCRIPTION     = google_pubsub_subscription.this[local.dead_letters].name
    ROWS_SUBSCRIPTION     = "${local.prefix}res_predict-bigquery"
    DEAD_ROWS             = "${local.prefix}dead_bigquery-sub"
    UPLOADS               = local.buckets[local.uploads_bucket]
    MODELS                = local.buckets[local.models_bucket]
    REGISTRY              = local.registry
    STORE                 = "${local.bucket_prefix}response-store"
    DATASET               = local.dataset == null ? replace("${local.prefix}predictions", "-", "_") : local.dataset.id
  }

  target      = "PROJECT=${var.project_id} REGION=${var.region} COMPUTE=${var.compute}${var.prefix == "" ? "" : " PREFIX=${var.prefix}"}"
  worker_part = { push = "worker", worker = "pool", function = "function", kafka = "pool" }[var.compute]

  # By heading, without the links inside the page, which lead nowhere in a mail.
  runbook = {
    for section in slice(local.parts, 1, length(local.parts)) : split("\n", section)[0] =>
    trimspace(replace(join("\n", slice(split("\n", section), 1, length(split("\n", section)))), "/\\[([^]]+)\\]\\([^)]+\\)/", "$1"))
  }
  parts = split("\n## ", templatefile("${path.module}/runbook.md", local.names))
}
