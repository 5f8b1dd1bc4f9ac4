"""What stands in for Azure Resource Manager, as far as alerts go?

`World` starts it for the app, and the tests of `itsm_bridge.resource_manager` start it alone. It is told of an alert by
the notification that Azure Monitor would send, keeps it for 30 days in the words of Azure's own list, and answers what
the list, one alert, its history and a change of its state are asked. Its clock can be any.

    service          answers over HTTP: the list, one alert, its history, its state
      stored_alert   what does Azure keep of one alert, and how does it change?
      listed_form    how does the list say what a notification says?
      query          which alerts does a question mean?
      refusals       what does Azure answer that is no answer?
    identity         stands in for the endpoint where App Service gives tokens to managed identities
    azure_monitor    calls the webhook as Azure Monitor does, and gives up as it does

Sources of truth: https://learn.microsoft.com/rest/api/monitor/alertsmanagement/alerts and the specifications of
Microsoft.AlertsManagement 2025-05-25-preview in https://github.com/Azure/azure-rest-api-specs
"""
