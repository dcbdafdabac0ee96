# Compliance options: a customer-managed key, a subnetwork, and message storage in the region.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "none" {
  assert {
    condition     = length(google_kms_crypto_key_iam_member.agent) == 0 && length(google_artifact_registry_repository_iam_member.functions_agent) == 0 && length(google_project_service_identity.encrypting) == 0
    error_message = "Without a key there are no grants on one."
  }
  assert {
    condition     = length(google_cloud_run_v2_service.this["worker"].template[0].vpc_access) == 0 && alltrue([for topic in google_pubsub_topic.this : length(topic.message_storage_policy) == 0])
    error_message = "By default there are no settings of networks and storage regions."
  }
  assert {
    condition     = { for policy in google_artifact_registry_repository.images.cleanup_policies : policy.id => policy.action } == { newest = "KEEP", old = "DELETE" } && one([for policy in google_artifact_registry_repository.images.cleanup_policies : policy.most_recent_versions[0].keep_count if policy.id == "newest"]) == 20
    error_message = "Old images are deleted, and the newest are kept."
  }
}

run "key" {
  variables {
    kms_key        = { id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
    http_endpoint  = "internal"
    response_store = true
  }
  assert {
    condition     = toset(keys(google_kms_crypto_key_iam_member.agent)) == toset(["artifactregistry", "bigquery", "pubsub", "run", "storage"]) && alltrue([for grant in google_kms_crypto_key_iam_member.agent : grant.crypto_key_id == var.kms_key.id && grant.role == "roles/cloudkms.cryptoKeyEncrypterDecrypter"])
    error_message = "Only agents that store data may use the key."
  }
  assert {
    condition     = alltrue([for topic in concat(values(google_pubsub_topic.this), google_pubsub_topic.dead_bigquery) : topic.kms_key_name == var.kms_key.id])
    error_message = "Messages are encrypted with the key."
  }
  assert {
    condition     = alltrue([for bucket in concat(values(google_storage_bucket.this), google_storage_bucket.response_store) : one(bucket.encryption).default_kms_key_name == var.kms_key.id])
    error_message = "Objects are encrypted with the key."
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.this : service.template[0].encryption_key == var.kms_key.id]) && google_artifact_registry_repository.images.kms_key_name == var.kms_key.id && google_bigquery_dataset.this[0].default_encryption_configuration[0].kms_key_name == var.kms_key.id
    error_message = "Images, services and rows are encrypted with the key."
  }
}

run "key_of_a_pool" {
  variables {
    kms_key  = { id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
    compute  = "worker"
    bigquery = false
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].encryption_key == var.kms_key.id
    error_message = "The worker is encrypted with the key."
  }
  assert {
    condition     = toset(keys(google_kms_crypto_key_iam_member.agent)) == toset(["artifactregistry", "pubsub", "run", "storage"])
    error_message = "Only agents that store data may use the key."
  }
}

run "key_of_a_function" {
  variables {
    kms_key         = { id = "projects/keys/locations/europe-west1/keyRings/ring/cryptoKeys/key" }
    compute         = "function"
    function_source = "topology.yaml"
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].kms_key_name == var.kms_key.id && google_kms_crypto_key_iam_member.agent["cloudfunctions"].member == google_project_service_identity.encrypting["cloudfunctions"].member
    error_message = "The function is encrypted with the key, which its agent may use."
  }
  assert {
    condition     = toset(keys(google_kms_crypto_key_iam_member.agent)) == toset(["artifactregistry", "bigquery", "cloudfunctions", "eventarc", "pubsub", "run", "storage"]) && try(google_kms_crypto_key_iam_member.agent["eventarc"].member == google_project_service_identity.encrypting["eventarc"].member, false) && contains(keys(google_project_service.this), "eventarc")
    error_message = "Google encrypts a function with five agents, Eventarc's among them, even without an event trigger."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.functions_agent[0].role == "roles/artifactregistry.admin" && google_artifact_registry_repository_iam_member.functions_agent[0].member == google_project_service_identity.encrypting["cloudfunctions"].member
    error_message = "The agent of Cloud Functions administers the repository of the function's encrypted image."
  }
}

run "network_and_region" {
  variables {
    subnetwork     = "projects/some-project/regions/europe-west1/subnetworks/quiet"
    stay_in_region = true
    http_endpoint  = "internal"
  }
  assert {
    condition     = alltrue([for service in google_cloud_run_v2_service.this : service.template[0].vpc_access[0].egress == "ALL_TRAFFIC" && service.template[0].vpc_access[0].network_interfaces[0].subnetwork == var.subnetwork])
    error_message = "All traffic leaves through the subnetwork."
  }
  assert {
    condition     = alltrue([for topic in concat(values(google_pubsub_topic.this), google_pubsub_topic.dead_bigquery) : topic.message_storage_policy[0].allowed_persistence_regions == toset(["europe-west1"])])
    error_message = "Messages are stored in the region and nowhere else."
  }
}

run "network_of_a_pool" {
  variables {
    subnetwork = "projects/some-project/regions/europe-west1/subnetworks/quiet"
    compute    = "worker"
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].vpc_access[0].egress == "ALL_TRAFFIC" && google_cloud_run_v2_worker_pool.worker[0].template[0].vpc_access[0].network_interfaces[0].subnetwork == var.subnetwork
    error_message = "All traffic leaves through the subnetwork."
  }
}

run "refuses_a_key_elsewhere" {
  command = plan
  variables {
    kms_key = { id = "projects/keys/locations/us-east1/keyRings/ring/cryptoKeys/key" }
  }
  expect_failures = [var.kms_key]
}

run "refuses_a_subnetwork_elsewhere" {
  command = plan
  variables {
    subnetwork = "projects/some-project/regions/us-east1/subnetworks/quiet"
  }
  expect_failures = [var.subnetwork]
}

run "refuses_a_function_in_a_subnetwork" {
  command = plan
  variables {
    compute         = "function"
    function_source = "topology.yaml"
    subnetwork      = "projects/some-project/regions/europe-west1/subnetworks/quiet"
  }
  expect_failures = [var.subnetwork]
}
