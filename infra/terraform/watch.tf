# Who is told when the bridge itself is in trouble? A person, by e-mail: a bridge that is down cannot carry the news.

locals {
  told       = concat([azurerm_monitor_action_group.operators.id], var.operator_action_group_ids)
  host_name  = azapi_resource.app.output.properties.defaultHostName
  health_uri = "https://${local.host_name}/api/health"

  # One row per trouble, by the name of its rule. Each query gives a column `trouble`, by which alerts are told apart, so
  # that the e-mail names it. tests/infra run the queries over the log that the program writes.
  troubles = {
    "alert-parked" = {
      display_name = "itsm-bridge: an alert is parked"
      description  = "The bridge gave up on an alert until somebody acts: python -m itsm_bridge status"
      query        = "AppTraces | where SeverityLevel >= 3 and Message contains \"is parked until somebody acts\" | extend trouble = \"parked\""
      window       = "PT5M"
      # It would be told resolved although the alert stays parked.
      resolves = false
    }
    "bridge-degraded" = {
      display_name = "itsm-bridge: degraded"
      description  = "GET /api/health answers 503 and names what is down."
      query        = "AppRequests | where (Name == \"health\" or Url endswith \"/api/health\") and ResultCode == \"503\" | extend trouble = \"degraded\""
      window       = "PT15M"
      resolves     = true
    }
    "calls-refused" = {
      display_name = "itsm-bridge: calls of the webhook are refused"
      description  = "These alerts are lost, because Azure Monitor does not repeat them: python -m itsm_bridge status says what to do."
      query        = "AppTraces | where Message contains \"trouble refused-\" | extend trouble = extract(\"trouble ([a-z-]+)\", 1, Message)"
      window       = "PT30M"
      resolves     = true
    }
    "rejected-by-servicenow" = {
      display_name = "itsm-bridge: ServiceNow refuses us"
      description  = "A right is missing, the sign-in is refused, or fields are not stored. Alerts wait: python -m itsm_bridge status says what to do."
      query        = "AppTraces | where Message contains \"trouble servicenow-\" | extend trouble = extract(\"trouble ([a-z-]+)\", 1, Message) | where trouble !in (\"servicenow-away\", \"servicenow-limits-calls\")"
      window       = "PT15M"
      resolves     = true
    }
    "rules-not-valid" = {
      display_name = "itsm-bridge: rules do not do what they say"
      description  = "They are not valid, or name a record that ServiceNow does not have: python -m itsm_bridge status"
      query        = "AppTraces | where Message contains \"trouble rules-\" | extend trouble = extract(\"trouble ([a-z-]+)\", 1, Message)"
      window       = "PT15M"
      resolves     = true
    }
    "azure-list-not-followed" = {
      display_name = "itsm-bridge: Azure's own list of alerts cannot be followed"
      description  = "A token or a role is missing, or nobody can tell whose an alert is. Missed alerts and states wait, calls do not: python -m itsm_bridge doctor"
      query        = "AppTraces | where Message contains \"trouble azure-\" | extend trouble = extract(\"trouble ([a-z-]+)\", 1, Message) | where trouble != \"azure-away\""
      window       = "PT15M"
      resolves     = true
    }
    "alerts-waiting" = {
      display_name = "itsm-bridge: alerts wait longer than 10 minutes for their incidents"
      description  = "None is lost. python -m itsm_bridge status and doctor say why they wait."
      query        = "AppTraces | where SeverityLevel >= 2 and Message contains \"backlog: \" | extend trouble = \"waiting\""
      window       = "PT15M"
      resolves     = true
    }
    "unexpected-error" = {
      display_name = "itsm-bridge: an error that nobody foresaw"
      description  = "The alert is tried again. Report the line of the log, which quotes no alert."
      query        = "AppTraces | where SeverityLevel >= 3 and Message contains \"unexpected \" | extend trouble = \"unexpected\""
      window       = "PT30M"
      resolves     = true
    }
  }
}

resource "azurerm_monitor_action_group" "operators" {
  name                = var.operator_action_group_name
  resource_group_name = local.group
  tags                = local.tags
  short_name          = "bridge-ops"
  enabled             = true

  email_receiver {
    name                    = "operators"
    email_address           = var.operator_email
    use_common_alert_schema = true
  }
}

resource "azurerm_monitor_scheduled_query_rules_alert_v2" "rule" {
  for_each                = local.troubles
  name                    = "${var.alert_rule_prefix}${each.key}"
  resource_group_name     = local.group
  location                = var.location
  tags                    = local.tags
  display_name            = each.value.display_name
  description             = each.value.description
  severity                = 1
  enabled                 = true
  scopes                  = [local.workspace_id]
  evaluation_frequency    = "PT5M"
  window_duration         = each.value.window
  auto_mitigation_enabled = each.value.resolves
  # A new workspace has no tables yet, and the query would be refused.
  skip_query_validation = true

  criteria {
    query                   = each.value.query
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0

    dimension {
      name     = "trouble"
      operator = "Include"
      values   = ["*"]
    }

    failing_periods {
      number_of_evaluation_periods             = 1
      minimum_failing_periods_to_trigger_alert = 1
    }
  }

  action {
    action_groups = local.told
  }
}

# An app that does not run logs nothing, so it is also looked at from outside.
resource "azurerm_application_insights_standard_web_test" "probe" {
  name                    = "${var.alert_rule_prefix}bridge-health"
  resource_group_name     = local.group
  location                = var.location
  tags                    = local.tags
  application_insights_id = azurerm_application_insights.component.id
  enabled                 = true
  frequency               = var.probe_frequency
  timeout                 = 30
  retry_enabled           = true
  geo_locations           = local.probe_locations

  request {
    url                              = local.health_uri
    http_verb                        = "GET"
    parse_dependent_requests_enabled = false
  }

  validation_rules {
    expected_status_code        = 200
    ssl_check_enabled           = true
    ssl_cert_remaining_lifetime = 7
  }
}

resource "azurerm_monitor_metric_alert" "unreachable" {
  name                = "${var.alert_rule_prefix}bridge-unreachable"
  resource_group_name = local.group
  tags                = local.tags
  description         = "GET /api/health does not answer 200, seen from two places."
  severity            = 1
  enabled             = true
  scopes              = [azurerm_application_insights_standard_web_test.probe.id, azurerm_application_insights.component.id]
  frequency           = "PT1M"
  # Long enough for a probe from each place.
  window_size = var.probe_frequency > 300 ? "PT15M" : "PT5M"

  application_insights_web_test_location_availability_criteria {
    web_test_id           = azurerm_application_insights_standard_web_test.probe.id
    component_id          = azurerm_application_insights.component.id
    failed_location_count = 2
  }

  dynamic "action" {
    for_each = local.told

    content {
      action_group_id = action.value
    }
  }
}
