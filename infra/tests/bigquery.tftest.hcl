# Responses as rows: the table, its writer and its readers.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "rows" {
  assert {
    condition     = google_pubsub_subscription.bigquery[0].topic == google_pubsub_topic.this["res_predict"].id && google_pubsub_subscription.bigquery[0].bigquery_config[0].table == "some-project.predictions.responses"
    error_message = "Responses go to the table."
  }
  assert {
    condition     = google_pubsub_subscription.bigquery[0].bigquery_config[0].use_table_schema && google_pubsub_subscription.bigquery[0].bigquery_config[0].write_metadata && google_pubsub_subscription.bigquery[0].bigquery_config[0].drop_unknown_fields == false
    error_message = "Each field has its column, and none is dropped silently."
  }
  assert {
    condition     = google_pubsub_subscription.bigquery[0].expiration_policy[0].ttl == "" && google_pubsub_subscription.dead_bigquery[0].expiration_policy[0].ttl == ""
    error_message = "No subscription may expire."
  }
  assert {
    condition     = google_bigquery_table_iam_member.pubsub_agent[0].role == "roles/bigquery.dataEditor" && google_bigquery_table_iam_member.pubsub_agent[0].table_id == "responses" && google_bigquery_table_iam_member.pubsub_agent[0].member == google_project_service_identity.pubsub.member
    error_message = "Pub/Sub's agent writes this table, and no other."
  }
  assert {
    condition     = google_bigquery_table.responses[0].deletion_protection && google_bigquery_dataset.this[0].delete_contents_on_destroy == false
    error_message = "Responses survive the destruction of the deployment."
  }
  assert {
    condition     = google_bigquery_table.responses[0].time_partitioning[0].field == "publish_time" && google_bigquery_table.responses[0].time_partitioning[0].expiration_ms == 7776000000
    error_message = "Responses are kept for 90 days."
  }
  assert {
    condition     = length(google_bigquery_dataset.this[0].access) == 1 && one(google_bigquery_dataset.this[0].access).special_group == "projectOwners" && length(google_bigquery_table_iam_member.analyst) == 0
    error_message = "Viewers of the project cannot read responses."
  }
}

run "view" {
  assert {
    condition     = google_bigquery_table.answers[0].view[0].use_legacy_sql == false && strcontains(google_bigquery_table.answers[0].view[0].query, "`some-project.predictions.responses`")
    error_message = "The view reads the table, in standard SQL."
  }
}

run "dead_letters_of_rows" {
  assert {
    condition     = google_pubsub_subscription.bigquery[0].dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead_bigquery[0].id && google_pubsub_subscription.dead_bigquery[0].topic == google_pubsub_topic.dead_bigquery[0].id
    error_message = "Responses that do not fit the table are kept for an operator, separate from dead requests."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead_bigquery[0].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.dead_bigquery[0].member == google_project_service_identity.pubsub.member
    error_message = "Pub/Sub's agent must be publisher on that topic."
  }
  assert {
    condition     = google_pubsub_subscription_iam_member.dead_bigquery[0].subscription == "res_predict-bigquery" && google_pubsub_subscription_iam_member.dead_bigquery[0].role == "roles/pubsub.subscriber" && google_pubsub_subscription_iam_member.dead_bigquery[0].member == google_project_service_identity.pubsub.member
    error_message = "Pub/Sub's agent must be a subscriber of the source of dead letters."
  }
}

run "schema_of_responses" {
  assert {
    condition     = google_pubsub_topic.this["res_predict"].schema_settings[0].schema == google_pubsub_schema.response.id && google_pubsub_topic.this["res_predict"].schema_settings[0].encoding == "JSON"
    error_message = "Publishing a message that is not a response is refused."
  }
  assert {
    condition     = alltrue([for name in ["req_predict", "dead_predict"] : length(google_pubsub_topic.this[name].schema_settings) == 0])
    error_message = "Requests are images: no schema fits them."
  }
}

run "analysts_may_read" {
  variables {
    analysts = { someone = "group:analysts@example.com" }
    prefix   = "dev"
  }
  assert {
    condition     = toset([for grant in google_bigquery_table_iam_member.analyst : "${grant.dataset_id}.${grant.table_id} ${grant.role} ${grant.member}"]) == toset(["dev_predictions.responses roles/bigquery.dataViewer group:analysts@example.com", "dev_predictions.answers roles/bigquery.dataViewer group:analysts@example.com"])
    error_message = "Analysts can read the view and its table."
  }
  assert {
    condition     = alltrue([for name in [google_pubsub_subscription.bigquery[0].name, google_pubsub_topic.dead_bigquery[0].name, google_pubsub_subscription.dead_bigquery[0].name, google_pubsub_schema.response.name] : startswith(name, "dev-")])
    error_message = "Every name starts with the prefix."
  }
}

run "no_rows" {
  variables {
    bigquery = false
    analysts = { someone = "group:analysts@example.com" }
  }
  assert {
    condition     = length(google_bigquery_dataset.this) == 0 && length(google_bigquery_table.responses) == 0 && length(google_pubsub_subscription.bigquery) == 0 && length(google_pubsub_topic.dead_bigquery) == 0 && length(google_bigquery_table_iam_member.analyst) == 0 && output.answers == null
    error_message = "Without bigquery there is no table."
  }
}

run "refuses_rows_that_are_gone_at_once" {
  command = plan
  variables {
    bigquery_days = 0
  }
  expect_failures = [var.bigquery_days]
}

run "refuses_the_public_as_an_analyst" {
  command = plan
  variables {
    analysts = { someone = "allAuthenticatedUsers" }
  }
  expect_failures = [var.analysts]
}
