# Resources that exist already: they are used instead of new ones, and the grants on them are made as on new ones.
variable "existing" {
  description = "Resources that exist already and are used instead of new ones, by kind and name: `topics`, `buckets` and `service_accounts` by their name here, `datasets` by `predictions`. Values are ids; of a bucket, its name."
  type        = map(map(string))
  default     = {}
  nullable    = false
  validation {
    condition     = length(setsubtract(keys(var.existing), keys(local.bringable))) == 0
    error_message = "existing has ${substr(join(", ", setsubtract(keys(var.existing), keys(local.bringable))), 0, 100)}; it must have only ${join(", ", keys(local.bringable))}."
  }
  validation {
    condition     = alltrue([for given in values(var.existing) : given != null])
    error_message = "existing has ${substr(try([for kind, given in var.existing : kind if given == null][0], ""), 0, 100)} = null; it must be a map of ids by name: leave the kind out instead."
  }
  validation {
    condition     = alltrue([for kind, given in var.existing : length(setsubtract(keys(given), try(local.bringable[kind].names, keys(given)))) == 0 if given != null])
    error_message = "existing has ${try([for kind, given in var.existing : "${kind}.${substr(join(", ", setsubtract(keys(given), local.bringable[kind].names)), 0, 100)}; ${kind} must have only ${join(", ", local.bringable[kind].names)}" if length(setsubtract(keys(given), local.bringable[kind].names)) > 0][0], "")}."
  }
  validation {
    condition     = alltrue(flatten([for kind, given in var.existing : [for name, id in given : can(regex(local.bringable[kind].pattern, id)) if contains(try(local.bringable[kind].names, []), name)] if given != null]))
    error_message = "existing has ${try(flatten([for kind, given in var.existing : [for name, id in given : "${kind}.${name} = ${substr(coalesce(id, "null"), 0, 100)}; it must be ${local.bringable[kind].is}" if contains(local.bringable[kind].names, name) && !can(regex(local.bringable[kind].pattern, id))]])[0], "")}."
  }
  validation {
    condition     = alltrue([for given in values(var.existing) : length(distinct(values(given))) == length(given) if given != null])
    error_message = "existing has the same resource twice; each name must have a resource of its own."
  }
}

locals {
  # The kinds and names that may be brought, and the form of their ids, as `id` of Google's provider has it.
  bringable = {
    topics           = { names = keys(local.shipped.topics), is = "projects/P/topics/T", pattern = "^projects/[^/]+/topics/[^/]+$" }
    buckets          = { names = keys(local.shipped.buckets), is = "a bucket's name, without gs://", pattern = "^[a-z0-9][a-z0-9._-]+[a-z0-9]$" }
    datasets         = { names = ["predictions"], is = "projects/P/datasets/D", pattern = "^projects/[^/]+/datasets/[^/]+$" }
    service_accounts = { names = keys(local.account_purposes), is = "projects/P/serviceAccounts/EMAIL", pattern = "^projects/[^/]+/serviceAccounts/[^/@]+@[^/@]+$" }
  }
  brought       = { for kind in keys(local.bringable) : kind => merge([for given_kind, given in var.existing : given if given_kind == kind]...) }
  brought_paths = flatten([for kind, given in local.brought : [for name in keys(given) : "${kind}.${name}"]])
}
