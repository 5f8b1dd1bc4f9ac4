# A whole configuration: copy it, keep its state in a backend of yours, and pin the module to a release.
terraform {
  required_version = ">= 1.9"
  # backend "azurerm" { ... }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  # The storage account has no keys, and may be private: the provider must not ask it anything.
  storage_use_azuread = true

  features {
    storage {
      data_plane_available = false
    }
  }
}

provider "azapi" {
  subscription_id = var.subscription_id
}

provider "azuread" {}

variable "subscription_id" {
  description = "Subscription that the bridge lives in."
  type        = string
}

variable "servicenow_client_secret" {
  description = "OAuth client secret, from TF_VAR_servicenow_client_secret and from no file. Empty: what is in the vault stays."
  type        = string
  default     = ""
  sensitive   = true
}

variable "create_action_group" {
  description = "False until the code has been deployed."
  type        = bool
  default     = false
}

module "itsm_bridge" {
  source = "../"

  environment_name         = "prod"
  location                 = "westeurope"
  servicenow_instance_url  = "https://NAME.service-now.com"
  servicenow_client_id     = "CLIENT_ID"
  servicenow_client_secret = var.servicenow_client_secret
  operator_email           = "on-call@example.com"
  create_action_group      = var.create_action_group
}

output "itsm_bridge" {
  description = "Names and addresses."
  value       = module.itsm_bridge
}
