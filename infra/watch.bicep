// Who is told when the bridge itself is in trouble? A person, by e-mail: a bridge that is down cannot carry the news.
param location string
param tags object
param operatorEmail string
param operatorGroupName string
@description('Action groups that are told besides.')
param operatorActionGroupIds array
@description('Stands before the names of the rules.')
param rulePrefix string
param workspaceId string
param componentId string
param healthUri string
param probeLocations array
@description('Seconds between two probes from the same place: 300, 600 or 900.')
param probeFrequency int

var told = concat([operators.id], operatorActionGroupIds)

// One row per trouble, by the name of its rule. Each query gives a column `trouble`, by which alerts are told apart, so
// that the e-mail names it. tests/infra run the queries over the log that the program writes.
var troubles = [
  {
    name: 'alert-parked'
    displayName: 'itsm-bridge: an alert is parked'
    description: 'The bridge gave up on an alert until somebody acts: python -m itsm_bridge status'
    query: 'AppTraces | where SeverityLevel >= 3 and Message contains "is parked until somebody acts" | extend trouble = "parked"'
    window: 'PT5M'
    // It would be told resolved although the alert stays parked.
    resolves: false
  }
  {
    name: 'bridge-degraded'
    displayName: 'itsm-bridge: degraded'
    description: 'GET /api/health answers 503 and names what is down.'
    query: 'AppRequests | where (Name == "health" or Url endswith "/api/health") and ResultCode == "503" | extend trouble = "degraded"'
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'calls-refused'
    displayName: 'itsm-bridge: calls of the webhook are refused'
    description: 'These alerts are lost, because Azure Monitor does not repeat them: python -m itsm_bridge status says what to do.'
    query: 'AppTraces | where Message contains "trouble refused-" | extend trouble = extract("trouble ([a-z-]+)", 1, Message)'
    window: 'PT30M'
    resolves: true
  }
  {
    name: 'rejected-by-servicenow'
    displayName: 'itsm-bridge: ServiceNow refuses us'
    description: 'A right is missing, the sign-in is refused, or fields are not stored. Alerts wait: python -m itsm_bridge status says what to do.'
    query: 'AppTraces | where Message contains "trouble servicenow-" | extend trouble = extract("trouble ([a-z-]+)", 1, Message) | where trouble !in ("servicenow-away", "servicenow-limits-calls")'
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'rules-not-valid'
    displayName: 'itsm-bridge: rules do not do what they say'
    description: 'They are not valid, or name a record that ServiceNow does not have: python -m itsm_bridge status'
    query: 'AppTraces | where Message contains "trouble rules-" | extend trouble = extract("trouble ([a-z-]+)", 1, Message)'
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'azure-list-not-followed'
    displayName: 'itsm-bridge: Azure\'s own list of alerts cannot be followed'
    description: 'A token or a role is missing, or nobody can tell whose an alert is. Missed alerts and states wait, calls do not: python -m itsm_bridge doctor'
    query: 'AppTraces | where Message contains "trouble azure-" | extend trouble = extract("trouble ([a-z-]+)", 1, Message) | where trouble != "azure-away"'
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'alerts-waiting'
    displayName: 'itsm-bridge: alerts wait longer than 10 minutes for their incidents'
    description: 'None is lost. python -m itsm_bridge status and doctor say why they wait.'
    query: 'AppTraces | where SeverityLevel >= 2 and Message contains "backlog: " | extend trouble = "waiting"'
    window: 'PT15M'
    resolves: true
  }
  {
    name: 'unexpected-error'
    displayName: 'itsm-bridge: an error that nobody foresaw'
    description: 'The alert is tried again. Report the line of the log, which quotes no alert.'
    query: 'AppTraces | where SeverityLevel >= 3 and Message contains "unexpected " | extend trouble = "unexpected"'
    window: 'PT30M'
    resolves: true
  }
]

resource operators 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: operatorGroupName
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'bridge-ops'
    enabled: true
    emailReceivers: [{ name: 'operators', emailAddress: operatorEmail, useCommonAlertSchema: true }]
  }
}

resource rule 'Microsoft.Insights/scheduledQueryRules@2022-06-15' = [
  for trouble in troubles: {
    name: '${rulePrefix}${trouble.name}'
    location: location
    tags: tags
    kind: 'LogAlert'
    properties: {
      displayName: trouble.displayName
      description: trouble.description
      severity: 1
      enabled: true
      scopes: [workspaceId]
      evaluationFrequency: 'PT5M'
      windowSize: trouble.window
      criteria: {
        allOf: [
          {
            query: trouble.query
            dimensions: [{ name: 'trouble', operator: 'Include', values: ['*'] }]
            timeAggregation: 'Count'
            operator: 'GreaterThan'
            threshold: 0
            failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
          }
        ]
      }
      autoMitigate: trouble.resolves
      // A new workspace has no tables yet, and the query would be refused.
      skipQueryValidation: true
      actions: { actionGroups: told }
    }
  }
]

// An app that does not run logs nothing, so it is also looked at from outside.
resource probe 'Microsoft.Insights/webtests@2022-06-15' = {
  name: '${rulePrefix}bridge-health'
  location: location
  tags: union(tags, { 'hidden-link:${componentId}': 'Resource' })
  kind: 'standard'
  properties: {
    Name: '${rulePrefix}bridge-health'
    SyntheticMonitorId: '${rulePrefix}bridge-health'
    Kind: 'standard'
    Enabled: true
    Frequency: probeFrequency
    Timeout: 30
    RetryEnabled: true
    Locations: [for place in probeLocations: { Id: place }]
    Request: { RequestUrl: healthUri, HttpVerb: 'GET', ParseDependentRequests: false }
    ValidationRules: { ExpectedHttpStatusCode: 200, SSLCheck: true, SSLCertRemainingLifetimeCheck: 7 }
  }
}

resource unreachable 'Microsoft.Insights/metricAlerts@2018-03-01' = {
  name: '${rulePrefix}bridge-unreachable'
  location: 'global'
  tags: tags
  properties: {
    description: 'GET /api/health does not answer 200, seen from two places.'
    severity: 1
    enabled: true
    scopes: [probe.id, componentId]
    evaluationFrequency: 'PT1M'
    // Long enough for a probe from each place.
    windowSize: probeFrequency > 300 ? 'PT15M' : 'PT5M'
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.WebtestLocationAvailabilityCriteria'
      webTestId: probe.id
      componentId: componentId
      failedLocationCount: 2
    }
    actions: [for group in told: { actionGroupId: group }]
  }
}
