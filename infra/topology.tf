# The content of topology.yaml, in the form that for_each needs, with the numbers that this deployment overrides.
variable "topology_overrides" {
  description = "Numbers of topology.yaml that differ in this deployment, by their path there, such as `{ \"buckets.uploads.delete_after_days\" = 14 }`: retention, backoff, delivery attempts, age at which objects are deleted. The local twin does not read it."
  type        = map(string)
  default     = {}
  nullable    = false
  validation {
    condition     = alltrue([for path in keys(var.topology_overrides) : contains(keys(local.overridable), path)])
    error_message = "topology_overrides has ${try([for path in keys(var.topology_overrides) : "${substr(path, 0, 80)}; ${local.words_after[reverse(sort([for start in keys(local.words_after) : start if startswith(path, start)]))[0]]}" if !contains(keys(local.overridable), path)][0], "")}."
  }
  validation {
    condition     = alltrue([for path, value in var.topology_overrides : can(regex(local.overridable[path].pattern, value)) && try(tonumber(regex("[0-9]+", value)) >= local.overridable[path].least && tonumber(regex("[0-9]+", value)) <= local.overridable[path].most, false) if contains(keys(local.overridable), path) && value != null])
    error_message = "topology_overrides has ${try([for path, value in var.topology_overrides : "${path} = ${substr(value, 0, 60)}; it must be ${local.overridable[path].is}, from ${local.overridable[path].least} to ${local.overridable[path].most}" if value == null || !contains(keys(local.overridable), path) ? false : !(can(regex(local.overridable[path].pattern, value)) && try(tonumber(regex("[0-9]+", value)) >= local.overridable[path].least && tonumber(regex("[0-9]+", value)) <= local.overridable[path].most, false))][0], "")}."
  }
  validation {
    condition     = alltrue([for path in keys(var.topology_overrides) : !contains(local.brought_paths, join(".", slice(concat(split(".", path), ["", ""]), 0, 2)))])
    error_message = "topology_overrides has ${try([for path in keys(var.topology_overrides) : path if contains(local.brought_paths, join(".", slice(concat(split(".", path), ["", ""]), 0, 2)))][0], "")}, but existing has this resource: set the number where the resource is created."
  }
}

locals {
  prefix  = var.prefix == "" ? "" : "${var.prefix}-"
  shipped = yamldecode(file("${path.module}/topology.yaml"))

  # Google's limits of the numbers that may be overridden.
  seconds = { is = "whole seconds, such as 600s", pattern = "^(0|[1-9][0-9]{0,8})s$" }
  whole   = { is = "a whole number", pattern = "^(0|[1-9][0-9]{0,8})$" }
  allowed = {
    retention             = merge(local.seconds, { least = 600, most = 2678400 }) # from 10 minutes to 31 days
    backoff               = merge(local.seconds, { least = 0, most = 600 })
    max_delivery_attempts = merge(local.whole, { least = 5, most = 100 })
    delete_after_days     = merge(local.whole, { least = 1, most = 36500 })
  }
  overridable = merge(
    { for name, given in local.shipped.topics : "topics.${name}.retention" => local.allowed.retention if can(given.retention) },
    merge([for name, given in local.shipped.subscriptions : merge(
      { "subscriptions.${name}.retention" = local.allowed.retention },
      { for key in keys(try(given.retry, {})) : "subscriptions.${name}.retry.${key}" => local.allowed.backoff },
      { for dead_letter in try([given.dead_letter], []) : "subscriptions.${name}.dead_letter.max_delivery_attempts" => local.allowed.max_delivery_attempts },
    )]...),
    { for name, given in local.shipped.buckets : "buckets.${name}.delete_after_days" => local.allowed.delete_after_days if can(given.delete_after_days) },
  )
  # By each beginning of these paths, what a message says of the next words.
  words_after = { for start, words in merge(
    { for path in keys(local.overridable) : "" => split(".", path)[0]... },
    { for path in keys(local.overridable) : "${split(".", path)[0]}." => split(".", path)[1]... },
    { for path in keys(local.overridable) : "${join(".", slice(split(".", path), 0, 2))}." => join(".", slice(split(".", path), 2, length(split(".", path))))... },
  ) : start => "${start == "" ? "it must begin with" : "after ${start} it must have"} ${join(" or ", distinct(words))}" }

  topology = {
    topics = {
      for name, given in local.shipped.topics : name => { for key, value in given : key => coalesce(lookup(var.topology_overrides, "topics.${name}.${key}", null), value) }
    }
    subscriptions = {
      for name, given in local.shipped.subscriptions : name => merge(
        given,
        { retention = coalesce(lookup(var.topology_overrides, "subscriptions.${name}.retention", null), given.retention) },
        { for retry in try([given.retry], []) : "retry" => { for key, value in retry : key => coalesce(lookup(var.topology_overrides, "subscriptions.${name}.retry.${key}", null), value) } },
        { for dead_letter in try([given.dead_letter], []) : "dead_letter" => merge(dead_letter, { max_delivery_attempts = tonumber(coalesce(lookup(var.topology_overrides, "subscriptions.${name}.dead_letter.max_delivery_attempts", null), tostring(dead_letter.max_delivery_attempts))) }) },
        given.delivery == "worker" && var.ack_deadline_seconds != null ? { ack_deadline_seconds = var.ack_deadline_seconds } : {},
      )
    }
    buckets = {
      for name, given in local.shipped.buckets : name => { for key, value in given : key => tonumber(coalesce(lookup(var.topology_overrides, "buckets.${name}.${key}", null), tostring(value))) }
    }
    notifications = local.shipped.notifications
  }
  subscriptions        = local.topology.subscriptions
  for_worker           = { for name, given in local.subscriptions : name => given if given.delivery == "worker" }
  dead_lettered        = { for name, given in local.subscriptions : name => given.dead_letter.topic if can(given.dead_letter) }
  response_topic       = "res_predict"
  request_topic        = "req_predict"
  request_subscription = "req_predict-sub"
  dead_subscription    = "dead_predict-announce"
  dead_letters         = "dead_predict-sub"
  shared_answers       = "res_predict-sub"
  comparison_topic     = "compare_predict"
  comparisons          = "compare_predict-sub"
  models_bucket        = "models"
  registry_folder      = "registry" # in the models bucket
  uploads_bucket       = "uploads"
  payloads_bucket      = "payloads"

  shortest_deadline = min([for given in values(local.for_worker) : given.ack_deadline_seconds]...)

  # Days that an object must exist: one more than any message that may name it, or its response.
  message_days = 1 + ceil(max([for given in concat(values(local.for_worker), [local.topology.topics[local.request_topic]]) : tonumber(trimsuffix(given.retention, "s"))]...) / 86400)
}
