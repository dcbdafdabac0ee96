# A customer-managed key (var.kms_key) for all stored data: each of Google's service agents that stores data may use it.
locals {
  encrypting = concat(["artifactregistry", "run"], var.compute == "function" ? ["cloudfunctions", "eventarc"] : [], var.managed_kafka == null ? [] : ["managedkafka"])
  agents = merge(
    {
      pubsub  = google_project_service_identity.pubsub.member
      storage = local.storage_agent
    },
    { for service, agent in google_project_service_identity.encrypting : service => agent.member },
    { for agent in data.google_bigquery_default_service_account.this : "bigquery" => "serviceAccount:${agent.email}" },
  )

  # By agent, read from the grant, so that an encrypted resource waits for its agent's grant. Empty without a key.
  keys = { for agent, grant in google_kms_crypto_key_iam_member.agent : agent => grant.crypto_key_id }
}

resource "google_project_service_identity" "encrypting" {
  provider = google-beta
  for_each = var.kms_key == null ? [] : toset(local.encrypting)

  project = var.project_id
  service = google_project_service.this[each.value].service
}

# Reading this data source creates BigQuery's agent.
data "google_bigquery_default_service_account" "this" {
  count = var.kms_key != null && local.new_dataset ? 1 : 0

  project = local.project_with["bigquery"]
}

resource "google_kms_crypto_key_iam_member" "agent" {
  for_each = { for agent, member in local.agents : agent => member if var.kms_key != null }

  crypto_key_id = var.kms_key.id
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = each.value
}
