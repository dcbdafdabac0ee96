terraform {
  required_version = ">= 1.9" # validations that look at other values

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 8"
    }
    google-beta = { # service agents only, see services.tf
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 8"
    }
  }
}
