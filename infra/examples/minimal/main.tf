# The least that a deployment needs. A copy elsewhere needs `source` as in ../../module.md.
variable "project_id" { type = string }

variable "image" { type = string }

module "pipeline" {
  source     = "../.."
  project_id = var.project_id
  image      = var.image
}

output "topics" { value = module.pipeline.topics }
