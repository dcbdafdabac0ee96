# The page: off by default, else one service behind IAP, which only its members may open.
mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "none" {
  assert {
    condition     = length(google_cloud_run_v2_service.page) + length(google_iap_web_cloud_run_service_iam_member.page) + length(google_project_iam_custom_role.client) + length(google_project_iam_member.page_metrics) == 0 && !contains(keys(google_service_account.this), "page") && !contains(keys(google_project_service.this), "iap") && output.page_url == null
    error_message = "There is no page by default."
  }
}

run "page" {
  variables {
    page       = { members = { team = "group:team@example.com", company = "domain:example.com" } }
    page_image = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].iap_enabled && google_cloud_run_v2_service.page[0].invoker_iam_disabled == false
    error_message = "IAP and IAM both stand before the page."
  }
  assert {
    condition     = { for name, grant in google_iap_web_cloud_run_service_iam_member.page : name => [grant.member, grant.role, grant.cloud_run_service_name, grant.location] } == { for name, member in var.page.members : name => [member, "roles/iap.httpsResourceAccessor", "prediction-page", "europe-west1"] }
    error_message = "Each member may open the page, and nobody else."
  }
  assert {
    condition     = [google_cloud_run_v2_service_iam_member.iap[0].member, google_cloud_run_v2_service_iam_member.iap[0].role, google_cloud_run_v2_service_iam_member.iap[0].name] == [google_project_service_identity.iap[0].member, "roles/run.invoker", "prediction-page"] && google_project_service_identity.iap[0].service == "iap.googleapis.com"
    error_message = "Only IAP's agent may call the service."
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].ingress == "INGRESS_TRAFFIC_ALL" && google_cloud_run_v2_service.this["worker"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY"
    error_message = "Browsers reach the page, and still not the worker."
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].template[0].scaling[0].max_instance_count == 1 && google_cloud_run_v2_service.page[0].template[0].scaling[0].min_instance_count == 0
    error_message = "There is one job store, so there is one instance, or none."
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].template[0].timeout == "3600s" && google_cloud_run_v2_service.page[0].template[0].max_instance_request_concurrency == 200 && google_cloud_run_v2_service.page[0].template[0].containers[0].resources[0].cpu_idle && google_cloud_run_v2_service.page[0].template[0].containers[0].resources[0].limits == tomap({ cpu = "1", memory = "2Gi" })
    error_message = "Event streams last, and an instance without requests costs nothing."
  }
  assert {
    condition = { for env in google_cloud_run_v2_service.page[0].template[0].containers[0].env : env.name => env.value } == {
      ARTIFACT                  = "/app/model/artifacts/fashion-mnist"
      DEAD_LETTERS_SUBSCRIPTION = google_pubsub_subscription.this["dead_predict-sub"].id
      GOOGLE_CLOUD_PROJECT      = "some-project"
      IAP_AUDIENCE              = "/projects/123456789012/locations/europe-west1/services/prediction-page"
      PAYLOAD_BUCKET            = "some-project-payloads"
      REQUEST_SUBSCRIPTION      = google_pubsub_subscription.this["req_predict-sub"].id
      REQUEST_TOPIC             = google_pubsub_topic.this["req_predict"].id
      RESPONSE_TOPIC            = google_pubsub_topic.this["res_predict"].id
      UPLOAD_BUCKET             = "some-project-uploads"
    }
    error_message = "The page sends to this deployment, and accepts only what IAP signed for it."
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].template[0].service_account == google_service_account.this["page"].email && google_cloud_run_v2_service.page[0].template[0].containers[0].image == "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0" && output.page_image == "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
    error_message = "The page has an account and an image of its own."
  }
  assert {
    condition     = output.image == "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
    error_message = "The page is not the worker."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.page[0].topic == "req_predict" && google_pubsub_topic_iam_member.page[0].role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.page_subscription[0].topic == "res_predict" && google_pubsub_topic_iam_member.page_subscription[0].role == "roles/pubsub.subscriber" && google_project_iam_member.page[0].role == google_project_iam_custom_role.client[0].name
    error_message = "The page publishes requests, and has response subscriptions of its own."
  }
  assert {
    condition     = toset([for grant in google_storage_bucket_iam_member.page : "${grant.bucket} ${grant.role}"]) == toset(["some-project-payloads roles/storage.objectCreator", "some-project-uploads roles/storage.objectCreator"])
    error_message = "The page creates images, and reads none."
  }
  assert {
    condition     = [google_project_iam_member.page_metrics[0].role, google_project_iam_member.page_metrics[0].member] == ["roles/monitoring.viewer", google_service_account.this["page"].member]
    error_message = "The page reads how many messages wait."
  }
  assert {
    condition     = length(google_storage_bucket_iam_member.page_models) == 0
    error_message = "The page's image has the worker's model, so the page reads nothing in the models bucket."
  }
  assert {
    condition     = length(google_project_iam_member.client) == 0
    error_message = "The page's right to create subscriptions is not its clients'."
  }
}

run "of_the_registry" {
  variables {
    prefix     = "dev"
    models     = ["clothing", "shoes@live"]
    page       = { members = { ana = "user:ana@example.com" } }
    page_image = "europe-west1-docker.pkg.dev/some-project/dev-images/page@sha256:0"
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.page[0].template[0].containers[0].env : env.name => env.value if contains(["REGISTRY", "MODELS", "ARTIFACT", "COMPARISON_TOPIC"], env.name) } == { REGISTRY = "gs://some-project-dev-models/registry", MODELS = "clothing,shoes@live" }
    error_message = "The page shows the worker's models of the registry."
  }
  assert {
    condition     = [google_storage_bucket_iam_member.page_models[0].bucket, google_storage_bucket_iam_member.page_models[0].role, google_storage_bucket_iam_member.page_models[0].member == google_service_account.this["page"].member] == ["some-project-dev-models", "roles/storage.objectViewer", true] && one(google_storage_bucket_iam_member.page_models[0].condition).expression == one(google_storage_bucket_iam_member.registry["worker"].condition).expression
    error_message = "The page reads the registry only, as the worker does."
  }
}

run "of_an_artifact" {
  variables {
    artifact_prefix = "shoes/3"
    page            = { members = { ana = "user:ana@example.com" } }
    page_image      = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.page[0].template[0].containers[0].env : env.name => env.value if contains(["REGISTRY", "MODELS", "ARTIFACT"], env.name) } == { ARTIFACT = "gs://some-project-models/shoes/3" }
    error_message = "The page shows the worker's artifact."
  }
  assert {
    condition     = google_storage_bucket_iam_member.page_models[0].role == "roles/storage.objectViewer" && one(google_storage_bucket_iam_member.page_models[0].condition).expression == "resource.name == \"projects/_/buckets/some-project-models\" || resource.name.startsWith(\"projects/_/buckets/some-project-models/objects/shoes/3/\")"
    error_message = "The page reads the artifact only."
  }
}

run "prefixed" {
  variables {
    prefix     = "dev"
    page       = { members = { ana = "user:ana@example.com" } }
    page_image = "europe-west1-docker.pkg.dev/some-project/dev-images/page@sha256:0"
  }
  assert {
    condition     = google_cloud_run_v2_service.page[0].name == "dev-prediction-page" && { for env in google_cloud_run_v2_service.page[0].template[0].containers[0].env : env.name => env.value }["IAP_AUDIENCE"] == "/projects/123456789012/locations/europe-west1/services/dev-prediction-page"
    error_message = "Each deployment has a page of its own."
  }
}

run "refuses_a_page_without_members" {
  command = plan
  variables {
    page       = { members = {} }
    page_image = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  expect_failures = [var.page]
}

run "refuses_everybody" {
  command = plan
  variables {
    page       = { members = { all = "allUsers" } }
    page_image = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  expect_failures = [var.page]
}

run "refuses_an_unknown_name" {
  command = plan
  variables {
    page       = { members = { ana = "user:ana@example.com" }, size = {} }
    page_image = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  expect_failures = [var.page]
}

run "refuses_a_page_without_an_image" {
  command = plan
  variables {
    page = { members = { ana = "user:ana@example.com" } }
  }
  expect_failures = [var.page_image]
}

run "refuses_an_image_without_a_page" {
  command = plan
  variables {
    page_image = "europe-west1-docker.pkg.dev/some-project/images/page@sha256:0"
  }
  expect_failures = [var.page_image]
}
