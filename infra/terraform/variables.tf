# What can be set. The names are those of infra/main.bicep in snake case; lists are lists here.

variable "cloud" {
  description = "Which Azure: public, usgovernment or china. The provider has to be told too."
  type        = string
  default     = "public"

  validation {
    condition     = contains(["public", "usgovernment", "china"], var.cloud)
    error_message = "cloud is public, usgovernment or china."
  }
}

variable "create_entra_application" {
  description = "Register the Entra application here. With false, entra_client_id, entra_object_id and entra_identifier_uri say which one \"python -m itsm_bridge setup\" made."
  type        = bool
  default     = true
}

variable "secret_version" {
  description = "Any text. Another one writes the secrets again, where they are given at each run."
  type        = string
  default     = "1"
}

variable "entra_owners" {
  description = "Object ids of more owners of that application: those who test the action group."
  type        = list(string)
  default     = []
}

variable "resource_group_name" {
  description = "Name of the resource group. Empty: rg-itsm-bridge-ENV."
  type        = string
  default     = ""
}

variable "create_resource_group" {
  description = "Make the resource group. With false it has to exist, and its tags are left alone."
  type        = bool
  default     = true
}

variable "environment_name" {
  description = "Name of this installation, for example prod. It becomes part of names."
  type        = string

  validation {
    condition     = length(var.environment_name) >= 1 && length(var.environment_name) <= 40
    error_message = "environment_name is out of its range: length(it) >= 1 and length(it) <= 40."
  }
}

variable "location" {
  description = "Region. It must offer Flex Consumption: az functionapp list-flexconsumption-locations."
  type        = string
}

variable "servicenow_instance_url" {
  description = "Address of the ServiceNow instance, https://NAME.service-now.com."
  type        = string
}

variable "servicenow_sign_in" {
  description = "How the app signs in to ServiceNow. It decides which of the following five parameters are used."
  type        = string
  default     = "oauth-client-credentials"

  validation {
    condition     = contains(["oauth-client-credentials", "oauth-password", "api-key", "basic"], var.servicenow_sign_in)
    error_message = "servicenow_sign_in is one of oauth-client-credentials, oauth-password, api-key, basic."
  }
}

variable "servicenow_client_id" {
  description = "OAuth client id; for both oauth sign-ins."
  type        = string
  default     = ""
}

variable "servicenow_client_secret" {
  description = "OAuth client secret; for both oauth sign-ins. Empty: what is in the vault stays."
  type        = string
  default     = ""
  sensitive   = true
}

variable "servicenow_api_key" {
  description = "API key; for the sign-in api-key. Empty: what is in the vault stays."
  type        = string
  default     = ""
  sensitive   = true
}

variable "servicenow_username" {
  description = "Name of the ServiceNow account; for oauth-password and basic."
  type        = string
  default     = ""
}

variable "servicenow_password" {
  description = "Password of that account. Empty: what is in the vault stays."
  type        = string
  default     = ""
  sensitive   = true
}

variable "operator_email" {
  description = "Who is told by e-mail when an alert is parked or the bridge is not healthy. Never through the bridge itself."
  type        = string
}

variable "entra_client_id" {
  description = "Client id of the Entra application, where create_entra_application is false."
  type        = string
  default     = ""
}

variable "entra_object_id" {
  description = "Object id of that application: of the application, not of its service principal. Where create_entra_application is false."
  type        = string
  default     = ""
}

variable "entra_identifier_uri" {
  description = "Application ID URI of that application. Where create_entra_application is false."
  type        = string
  default     = ""
}

variable "entra_tenant_id" {
  description = "Tenant of that application. Empty: that of the provider."
  type        = string
  default     = ""
}

variable "entra_authority" {
  description = "Host that publishes the tenant's signing keys. Empty: that of the cloud."
  type        = string
  default     = ""
}

variable "entra_allowed_callers" {
  description = "Application that calls secure webhooks: Azure Monitor's \"AzNS AAD Webhook\". It differs between clouds."
  type        = string
  default     = "461e8683-5575-4561-ac7f-899cc907d62a"
}

variable "entra_required_role" {
  description = "App role that the caller must have been granted. The word none switches the check off."
  type        = string
  default     = "ActionGroupsSecureWebhook"
}

variable "allowed_subscriptions" {
  description = "Ids of the subscriptions that alerts may come from; the word tenant among them admits alerts that name none. Empty: all in the tenant."
  type        = list(string)
  default     = []
}

variable "servicenow_max_concurrency" {
  description = "Requests in flight to ServiceNow per instance of the app. ServiceNow gives API users four semaphores a node."
  type        = number
  default     = 4

  validation {
    condition     = var.servicenow_max_concurrency >= 1 && var.servicenow_max_concurrency <= 64
    error_message = "servicenow_max_concurrency is out of its range: it >= 1 and it <= 64."
  }
}

variable "servicenow_close_code" {
  description = "Close code that incidents are resolved with; empty takes the most fitting of the instance."
  type        = string
  default     = ""
}

variable "telemetry_to_application_insights" {
  description = "Send traces and metrics to Application Insights too. The log is there in any case, and the workbook needs nothing else."
  type        = bool
  default     = false
}

variable "create_workbook" {
  description = "Make a workbook over the log of the bridge. It costs nothing."
  type        = bool
  default     = true
}

variable "servicenow_note_missing_item" {
  description = "Whether a work note says that no configuration item was found."
  type        = bool
  default     = true
}

variable "additional_tenant_ids" {
  description = "More tenants whose Azure Monitor may call; each has an application of its own."
  type        = list(string)
  default     = []
}

variable "additional_audiences" {
  description = "Client ids and application ID URIs of those applications."
  type        = list(string)
  default     = []
}

variable "platform_authentication" {
  description = "Have App Service check tokens too, before the program does. For one tenant; docs/security.md says what to try first."
  type        = bool
  default     = false
}

variable "rules_file" {
  description = "Path of a rules file inside the deployed app. Empty: the built-in rules."
  type        = string
  default     = ""
}

variable "retry_horizon_hours" {
  description = "Hours for which a temporary failure is retried before the alert is parked."
  type        = number
  default     = 72

  validation {
    condition     = var.retry_horizon_hours >= 1
    error_message = "retry_horizon_hours is out of its range: it >= 1."
  }
}

variable "retention_days" {
  description = "Days for which the rows of alerts that are over are kept."
  type        = number
  default     = 90

  validation {
    condition     = var.retention_days >= 1
    error_message = "retention_days is out of its range: it >= 1."
  }
}

variable "azure_action_group_ids" {
  description = "Resource ids of the action groups that call the bridge. Empty: those of action_group_names in this resource group."
  type        = list(string)
  default     = []
}

variable "recover_missed_alerts" {
  description = "Look in Azure's own list for alerts that never reached the bridge. It needs a role on the subscriptions: followed_subscriptions."
  type        = bool
  default     = false
}

variable "sync_alert_state" {
  description = "Pass on to the alerts in Azure what people do to their incidents. It needs a role on the subscriptions: followed_subscriptions."
  type        = bool
  default     = false
}

variable "followed_subscriptions" {
  description = "Ids of the subscriptions whose alerts are followed: the app is granted a role of its own there, by whoever applies. Empty: an owner grants it with followed.bicep."
  type        = list(string)
  default     = []
}

variable "always_ready_instances" {
  description = "Instances that are always running. With none, a call after a quiet time may take longer than Azure Monitor waits."
  type        = number
  default     = 1

  validation {
    condition     = var.always_ready_instances >= 0
    error_message = "always_ready_instances is out of its range: it >= 0."
  }
}

variable "maximum_instance_count" {
  description = "Instances at most, of each group of functions: webhooks and wake-ups. One node of ServiceNow bears the default."
  type        = number
  default     = 5

  validation {
    condition     = var.maximum_instance_count >= 1 && var.maximum_instance_count <= 1000
    error_message = "maximum_instance_count is out of its range: it >= 1 and it <= 1000."
  }
}

variable "always_ready_wake_up_instances" {
  description = "Instances that are always running for wake-ups. With none, a wake-up after a quiet time waits for an instance to start."
  type        = number
  default     = 0

  validation {
    condition     = var.always_ready_wake_up_instances >= 0
    error_message = "always_ready_wake_up_instances is out of its range: it >= 0."
  }
}

variable "site_update_strategy" {
  description = "How a new version replaces the old one. Recreate ends what is in progress; RollingUpdate, in preview, lets it end."
  type        = string
  default     = "Recreate"

  validation {
    condition     = contains(["Recreate", "RollingUpdate"], var.site_update_strategy)
    error_message = "site_update_strategy is one of Recreate, RollingUpdate."
  }
}

variable "storage_redundancy" {
  description = "Redundancy of the storage account that holds alerts until ServiceNow knows them."
  type        = string
  default     = "Standard_ZRS"

  validation {
    condition     = contains(["Standard_ZRS", "Standard_GZRS", "Standard_LRS"], var.storage_redundancy)
    error_message = "storage_redundancy is one of Standard_ZRS, Standard_GZRS, Standard_LRS."
  }
}

variable "name_pattern" {
  description = "Names of the resources: {type} is put in for st, kv, func, ..., {token} for 13 letters and digits, {env} for environmentName. Storage accounts lose their hyphens. Empty: {type}-{token}."
  type        = string
  default     = ""
}

variable "action_group_names" {
  description = "Names of the action groups that call the bridge."
  type        = list(string)
  default     = ["ag-itsm-bridge"]
}

variable "operator_action_group_name" {
  description = "Name of the action group that tells operators."
  type        = string
  default     = "ag-itsm-bridge-operators"
}

variable "alert_rule_prefix" {
  description = "Stands before the names of the alert rules that watch the bridge, where two installations share a resource group."
  type        = string
  default     = ""
}

variable "tags" {
  description = "Tags of all resources."
  type        = map(string)
  default     = {}
}

variable "workspace_id" {
  description = "Id of a Log Analytics workspace that exists. Empty: one is made."
  type        = string
  default     = ""
}

variable "operator_action_group_ids" {
  description = "Ids of action groups that are told besides operatorEmail."
  type        = list(string)
  default     = []
}

variable "operator_principal_id" {
  description = "Object id of the person, group or service principal that uses the command line. It gets the roles for the table and the queues. Empty: nobody."
  type        = string
  default     = ""
}

variable "operator_principal_type" {
  description = "What operatorPrincipalId is."
  type        = string
  default     = "User"

  validation {
    condition     = contains(["User", "Group", "ServicePrincipal"], var.operator_principal_type)
    error_message = "operator_principal_type is one of User, Group, ServicePrincipal."
  }
}

variable "operator_may_write_secrets" {
  description = "Whether that one may write the secrets of ServiceNow too."
  type        = bool
  default     = false
}

variable "private_network" {
  description = "Put storage and vault behind private endpoints, and let the app send through a virtual network. The webhook stays public."
  type        = bool
  default     = false
}

variable "fixed_outgoing_address" {
  description = "Send from one address that never changes, through a NAT gateway; for the allow-list of the ServiceNow instance."
  type        = bool
  default     = false
}

variable "network_prefix" {
  description = "Address range of the virtual network that is made, /24 or larger."
  type        = string
  default     = "10.91.0.0/24"
}

variable "app_subnet_id" {
  description = "Id of a subnet that exists, delegated to Microsoft.App/environments. Empty: a virtual network is made where one is needed."
  type        = string
  default     = ""
}

variable "endpoint_subnet_id" {
  description = "Id of a subnet that exists, for the private endpoints. Needed with appSubnetId where privateNetwork is set."
  type        = string
  default     = ""
}

variable "create_dns_zones" {
  description = "Make the private DNS zones. With a subnet that exists, a policy or somebody else has to register the endpoints."
  type        = bool
  default     = true
}

variable "operator_addresses" {
  description = "Public addresses from which storage and vault may be reached all the same: those of operators."
  type        = list(string)
  default     = []
}

variable "log_retention_days" {
  description = "Days for which logs are kept, in the workspace that is made."
  type        = number
  default     = 30

  validation {
    condition     = var.log_retention_days >= 30 && var.log_retention_days <= 730
    error_message = "log_retention_days is out of its range: it >= 30 and it <= 730."
  }
}

variable "probe_locations" {
  description = "Where GET /api/health is probed from: ids of three places or more. Empty: three of this cloud; for China name them."
  type        = list(string)
  default     = []
}

variable "probe_frequency" {
  description = "Seconds between two probes from the same place. Each probe costs: docs/deploy.md has the arithmetic."
  type        = number
  default     = 900

  validation {
    condition     = contains([300, 600, 900], var.probe_frequency)
    error_message = "probe_frequency is one of 300, 600, 900."
  }
}

variable "restrict_to_azure_monitor" {
  description = "Refuse every network but Azure Monitor's own: its action groups and its availability probes."
  type        = bool
  default     = false
}

variable "create_action_group" {
  description = "Create the action group. Its address holds the function key, which exists once the code has been deployed."
  type        = bool
  default     = false
}

variable "function_key_name" {
  description = "Name of the function key in the address of the action group. To rotate, make a key of another name first."
  type        = string
  default     = "default"
}
