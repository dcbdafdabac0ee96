terraform {
  required_version = ">= 1.9" # validations that refer to other variables

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 6.50, < 9"
    }
    google-beta = { # for service agents (services.tf) and the page (page.tf)
      source  = "hashicorp/google-beta"
      version = ">= 6.50, < 9"
    }
  }
}
