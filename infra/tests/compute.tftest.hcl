# The worker in its three compute modes, applied one after the other to the same state, as in a switch.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "push" {
  assert {
    condition     = keys(google_cloud_run_v2_service.this) == ["worker"] && length(google_cloud_run_v2_worker_pool.worker) == 0 && length(google_cloudfunctions2_function.worker) == 0
    error_message = "By default the worker is a service, and nothing else."
  }
  assert {
    condition     = length(google_pubsub_subscription_iam_member.worker) == 0
    error_message = "A push worker must not pull."
  }
  assert {
    condition     = [for each in google_cloud_run_v2_service.this["worker"].traffic : "${each.percent} ${each.type}"] == ["100 TRAFFIC_TARGET_ALLOCATION_TYPE_LATEST"]
    error_message = "A deploy serves what it deploys, also after a rollback of the traffic by hand."
  }
  assert {
    condition     = keys(google_service_account.this) == ["builder", "invoker", "worker"]
    error_message = "Accounts exist only for enabled parts."
  }
  assert {
    condition     = google_artifact_registry_repository_iam_member.builder.role == "roles/artifactregistry.writer" && google_storage_bucket_iam_member.builder.bucket == "some-project-models" && google_storage_bucket_iam_member.builder.role == "roles/storage.objectViewer"
    error_message = "The builder can write images and read sources."
  }
  assert {
    condition     = keys(google_project_iam_member.builder) == ["roles/logging.logWriter"]
    error_message = "The builder's only right on the project is to write logs."
  }
  assert {
    condition     = output.image == var.image
    error_message = "The image that runs is an output."
  }
}

run "worker" {
  variables {
    compute   = "worker"
    instances = 3
    settings  = { MAX_BATCH_SIZE = "4" }
  }
  assert {
    condition     = [for each in google_cloud_run_v2_worker_pool.worker[0].instance_splits : "${each.percent} ${each.type}"] == ["100 INSTANCE_SPLIT_ALLOCATION_TYPE_LATEST"]
    error_message = "A deploy runs what it deploys, also after a rollback of the instances by hand."
  }
  assert {
    condition     = { for name, id in output.subscriptions : name => id } == { for name, id in run.push.subscriptions : name => id }
    error_message = "The subscriptions survive the switch, with their messages."
  }
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.this : length(subscription.push_config) == 0])
    error_message = "A pool pulls: no subscription may push."
  }
  assert {
    condition     = length(google_cloud_run_v2_service.this) == 0 && length(google_cloud_run_v2_service_iam_member.invoker) == 0 && length(google_service_account_iam_member.pubsub_agent) == 0 && output.worker_url == null
    error_message = "A pool has no URL, no invoker, and no creator of tokens."
  }
  assert {
    condition     = toset(keys(google_pubsub_subscription_iam_member.worker)) == toset(["req_predict-sub", "dead_predict-announce"]) && alltrue([for grant in google_pubsub_subscription_iam_member.worker : grant.role == "roles/pubsub.subscriber" && grant.member == google_service_account.this["worker"].member])
    error_message = "The pool may pull requests and dead letters to announce, and no other subscription."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].scaling[0].manual_instance_count == 3 && google_cloud_run_v2_worker_pool.worker[0].deletion_protection
    error_message = "A pool has the given number of instances, and is protected."
  }
  assert {
    condition     = !contains(["ALPHA", "BETA", "GA"], coalesce(google_cloud_run_v2_worker_pool.worker[0].launch_stage, "unset")) && !contains(["AUTOMATIC", "MANUAL"], coalesce(google_cloud_run_v2_worker_pool.worker[0].scaling[0].scaling_mode, "unset"))
    error_message = "Google sets the launch stage and the scaling mode of a pool: a configured value would differ from the API's in every plan."
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].service_account == google_service_account.this["worker"].email && google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].command == tolist(["python", "-m", "functions.entrypoints.pull_worker"])
    error_message = "The pool is the worker, pulling."
  }
  assert {
    condition = { for env in google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].env : env.name => env.value } == {
      ALLOWED_BUCKETS      = "some-project-payloads,some-project-uploads"
      DEAD_SUBSCRIPTION    = google_pubsub_subscription.this["dead_predict-announce"].id
      GOOGLE_CLOUD_PROJECT = "some-project"
      HTTP_ENDPOINT        = "off"
      MAX_BATCH_SIZE       = "4"
      REQUEST_SUBSCRIPTION = google_pubsub_subscription.this["req_predict-sub"].id
      RESPONSE_TOPIC       = google_pubsub_topic.this["res_predict"].id
      THREADS              = "80"
    }
    error_message = "The pool gets its subscriptions and all settings of the service."
  }
  assert {
    condition     = strcontains(google_logging_metric.outcomes.filter, "worker_pool_name=\"${google_cloud_run_v2_worker_pool.worker[0].name}\"")
    error_message = "The pool's outcomes are counted."
  }
}

run "function" {
  variables {
    compute         = "function"
    image           = null
    function_source = "topology.yaml" # any file will do for an archive here
    artifact_prefix = "fashion-mnist/3"
  }
  assert {
    condition     = { for name, id in output.subscriptions : name => id } == { for name, id in run.push.subscriptions : name => id }
    error_message = "The subscriptions survive the switch, with their messages."
  }
  assert {
    condition     = length(google_cloud_run_v2_service.this) == 0 && length(google_cloud_run_v2_worker_pool.worker) == 0
    error_message = "The function is the only worker."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].push_config[0].push_endpoint == "${google_cloudfunctions2_function.worker[0].service_config[0].uri}/" && google_pubsub_subscription.this["dead_predict-announce"].push_config[0].push_endpoint == "${google_cloudfunctions2_function.worker[0].service_config[0].uri}/dead"
    error_message = "Requests and dead letters are pushed to the function's endpoints."
  }
  assert {
    condition     = google_pubsub_subscription.this["req_predict-sub"].push_config[0].oidc_token[0].audience == google_cloudfunctions2_function.worker[0].service_config[0].uri
    error_message = "A function accepts only tokens for its own URL."
  }
  assert {
    condition     = google_cloud_run_v2_service_iam_member.invoker[0].name == "prediction-function" && google_cloud_run_v2_service_iam_member.invoker[0].member == google_service_account.this["invoker"].member
    error_message = "Only the invoker may call the function."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].all_traffic_on_latest_revision
    error_message = "The function serves all traffic with its latest revision."
  }
  assert {
    condition     = length(google_cloudfunctions2_function.worker[0].event_trigger) == 0
    error_message = "An event trigger would create a hidden subscription without dead letters."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY" && google_cloudfunctions2_function.worker[0].service_config[0].service_account_email == google_service_account.this["worker"].email
    error_message = "The function has no public endpoint, and does not run as the default service account."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].service_config[0].environment_variables["THREADS"] == tostring(google_cloudfunctions2_function.worker[0].service_config[0].max_instance_request_concurrency) && google_cloudfunctions2_function.worker[0].service_config[0].environment_variables["ARTIFACT"] == "gs://some-project-models/fashion-mnist/3"
    error_message = "The function gets the settings of the service."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].build_config[0].service_account == google_service_account.this["builder"].name && google_cloudfunctions2_function.worker[0].build_config[0].source[0].storage_source[0].object == "functions/${filesha256("topology.yaml")}.zip"
    error_message = "The function is built by the builder's account, from the given archive."
  }
  assert {
    condition     = google_cloudfunctions2_function.worker[0].build_config[0].entry_point == "serve"
    error_message = "The function serves pushes, not only the HTTP endpoint."
  }
  assert {
    condition     = google_project_iam_member.builder["roles/storage.objectViewer"].condition[0].expression == "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\")" && length(google_project_iam_member.builder) == 2
    error_message = "The builder can read sources of functions and write logs, but not read every bucket."
  }
}

run "gpu" {
  variables {
    gpu    = "nvidia-l4"
    cpu    = 4
    memory = "16Gi"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].limits == tomap({ cpu = "4", memory = "16Gi", "nvidia.com/gpu" = "1" }) && google_cloud_run_v2_service.this["worker"].template[0].node_selector[0].accelerator == "nvidia-l4"
    error_message = "One GPU of the given kind."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].cpu_idle == false && google_cloud_run_v2_service.this["worker"].template[0].gpu_zonal_redundancy_disabled
    error_message = "A GPU needs CPU that is always allocated, and there is no reserve GPU."
  }
  assert {
    condition     = contains([for each in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : "${each.name}=${each.value}"], "DEVICE=gpu")
    error_message = "The worker refuses to start without the GPU that is paid for."
  }
}

run "large_gpu" {
  variables {
    gpu    = "nvidia-rtx-pro-6000"
    cpu    = 20
    memory = "80Gi"
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].limits == tomap({ cpu = "20", memory = "80Gi", "nvidia.com/gpu" = "1" }) && google_cloud_run_v2_service.this["worker"].template[0].node_selector[0].accelerator == "nvidia-rtx-pro-6000"
    error_message = "A large GPU gets more vCPUs and memory than an instance can have without it."
  }
}

run "pool_with_gpu" {
  variables {
    compute = "worker"
    gpu     = "nvidia-l4"
    cpu     = 4
    memory  = "16Gi"
  }
  assert {
    condition     = google_cloud_run_v2_worker_pool.worker[0].template[0].containers[0].resources[0].limits["nvidia.com/gpu"] == "1" && google_cloud_run_v2_worker_pool.worker[0].template[0].node_selector[0].accelerator == "nvidia-l4"
    error_message = "One GPU of the given kind."
  }
}

run "refuses_another_compute" {
  command = plan
  variables {
    compute = "lambda"
  }
  expect_failures = [var.compute]
}

run "refuses_a_service_without_an_image" {
  command = plan
  variables {
    image = null
  }
  expect_failures = [var.image]
}

run "refuses_a_function_without_a_source" {
  command = plan
  variables {
    compute         = "function"
    function_source = "nowhere.zip"
  }
  expect_failures = [var.function_source]
}

run "refuses_a_function_with_a_gpu" {
  command = plan
  variables {
    compute         = "function"
    function_source = "topology.yaml"
    gpu             = "nvidia-l4"
    cpu             = 4
    memory          = "16Gi"
  }
  expect_failures = [var.gpu]
}
