# Sizes: their effect, and values that are refused.
mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project_id = "some-project"
  image      = "europe-west1-docker.pkg.dev/some-project/images/worker@sha256:0"
}

run "worker_is_sized" {
  variables {
    concurrency   = 4
    cpu           = 4
    memory        = "2Gi"
    min_instances = 1
    max_instances = 3
    settings      = { MAX_BATCH_SIZE = "4" }
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].scaling[0].min_instance_count == 1 && google_cloud_run_v2_service.this["worker"].template[0].scaling[0].max_instance_count == 3
    error_message = "Instances are as given."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].containers[0].resources[0].limits == tomap({ cpu = "4", memory = "2Gi" })
    error_message = "CPU and memory are as given."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["THREADS"] == "4"
    error_message = "There are as many threads as concurrent requests."
  }
  assert {
    condition     = { for env in google_cloud_run_v2_service.this["worker"].template[0].containers[0].env : env.name => env.value }["MAX_BATCH_SIZE"] == "4"
    error_message = "Settings reach the worker."
  }
}

run "long_requests" {
  variables {
    ack_deadline_seconds = 600
    timeout_seconds      = 590
  }
  assert {
    condition     = alltrue([for name in ["req_predict-sub", "dead_predict-announce"] : google_pubsub_subscription.this[name].ack_deadline_seconds == 600])
    error_message = "The worker's subscriptions have the given deadline."
  }
  assert {
    condition     = google_pubsub_subscription.this["res_predict-sub"].ack_deadline_seconds == 60
    error_message = "Other subscriptions keep the deadline of topology.yaml."
  }
  assert {
    condition     = google_cloud_run_v2_service.this["worker"].template[0].timeout == "590s"
    error_message = "The timeout is as given."
  }
}

run "refuses_a_timeout_beyond_the_deadline" {
  command = plan
  variables {
    timeout_seconds = 60
  }
  expect_failures = [var.timeout_seconds]
}

run "refuses_fewer_instances_than_the_least" {
  command = plan
  variables {
    min_instances = 5
    max_instances = 2
  }
  expect_failures = [var.min_instances]
}

run "refuses_no_requests_at_once" {
  command = plan
  variables {
    concurrency = 0
  }
  expect_failures = [var.concurrency]
}

run "refuses_no_instances_at_most" {
  command = plan
  variables {
    max_instances = 0
  }
  expect_failures = [var.max_instances]
}

run "refuses_half_an_instance" {
  command = plan
  variables {
    instances = 0.5
  }
  expect_failures = [var.instances]
}

run "refuses_memory_without_a_unit" {
  command = plan
  variables {
    memory = "1024"
  }
  expect_failures = [var.memory]
}

run "refuses_a_share_of_a_cpu" {
  command = plan
  variables {
    cpu = 0.5
  }
  expect_failures = [var.cpu]
}

run "refuses_less_memory_than_the_cpus_want" {
  command = plan
  variables {
    cpu    = 8
    memory = "2Gi"
  }
  expect_failures = [var.memory]
}

run "refuses_more_memory_than_the_cpus_allow" {
  command = plan
  variables {
    cpu    = 2
    memory = "16Gi"
  }
  expect_failures = [var.memory]
}

run "refuses_a_deadline_that_pubsub_does_not_know" {
  command = plan
  variables {
    ack_deadline_seconds = 700
  }
  expect_failures = [var.ack_deadline_seconds]
}

run "refuses_a_gpu_on_a_small_instance" {
  command = plan
  variables {
    gpu = "nvidia-l4"
  }
  expect_failures = [var.cpu]
}

run "refuses_a_gpu_with_little_memory" {
  command = plan
  variables {
    gpu    = "nvidia-l4"
    cpu    = 4
    memory = "8Gi"
  }
  expect_failures = [var.memory]
}
