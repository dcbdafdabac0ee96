terraform {
  required_version = ">= 1.9" # validations that refer to other variables

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 9"
    }
    google-beta = { # only for service agents, see services.tf
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 9"
    }
  }
}
