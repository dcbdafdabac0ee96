# A notification when the project costs more than var.budget. It stops nothing.
variable "budget" {
  description = "Budget of the whole project per month, in whole units of the billing account's currency; needs permissions on that account."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null
  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.budget.billing_account)) && try(var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount, false)
    error_message = "budget needs a billing_account such as 012345-6789AB-CDEF01, and a whole amount of at least 1."
  }
  validation {
    condition     = var.budget == null || length(local.alert_emails) <= 5
    error_message = "a budget can notify at most five addresses, a limit of Google: alerts.emails has more."
  }
}

# The API returns project numbers in a budget, so a budget with the project's id would change with every apply. The audience
# of the page's tokens contains the number too.
data "google_project" "this" {
  count = var.budget == null && var.page == null ? 0 : 1

  project_id = local.project_with["cloudresourcemanager"]
}

resource "google_billing_budget" "this" {
  count = var.budget == null ? 0 : 1

  billing_account = var.budget.billing_account
  display_name    = "${local.prefix}prediction in ${var.project_id}"

  budget_filter {
    projects = ["projects/${data.google_project.this[0].number}"]
  }

  amount {
    specified_amount {
      units = tostring(var.budget.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = [0.5, 0.9, 1]
    content {
      threshold_percent = threshold_rules.value
    }
  }

  threshold_rules { # a forecast, before the amount is spent
    threshold_percent = 1
    spend_basis       = "FORECASTED_SPEND"
  }

  # The billing account's administrators are always notified.
  dynamic "all_updates_rule" {
    for_each = length(local.alert_emails) == 0 ? [] : [values(google_monitoring_notification_channel.email)[*].id]
    content {
      monitoring_notification_channels = all_updates_rule.value
    }
  }

  depends_on = [google_project_service.this]
}
