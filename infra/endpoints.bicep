// How does the app reach storage and vault without the internet? A private endpoint for each service that it uses.
param location string
param tags object
@description('Names the endpoints: {type} and the service are put in.')
param endpointName string
param storageId string
param vaultId string
param subnetId string
@description('Network in which the names shall resolve. Empty: somebody else\'s policy registers the endpoints.')
param virtualNetworkId string
param createDnsZones bool

var services = [
  { group: 'blob', target: storageId, zone: 'privatelink.blob.${environment().suffixes.storage}' }
  { group: 'queue', target: storageId, zone: 'privatelink.queue.${environment().suffixes.storage}' }
  { group: 'table', target: storageId, zone: 'privatelink.table.${environment().suffixes.storage}' }
  {
    group: 'vault'
    target: vaultId
    zone: 'privatelink${replace(environment().suffixes.keyvaultDns, '.vault.', '.vaultcore.')}'
  }
]

resource zone 'Microsoft.Network/privateDnsZones@2020-06-01' = [
  for service in services: if (createDnsZones) {
    name: service.zone
    location: 'global'
    tags: tags
  }
]

resource link 'Microsoft.Network/privateDnsZones/virtualNetworkLinks@2020-06-01' = [
  for (service, index) in services: if (createDnsZones) {
    parent: zone[index]
    name: 'itsm-bridge'
    location: 'global'
    tags: tags
    properties: {
      registrationEnabled: false
      virtualNetwork: { id: virtualNetworkId }
    }
  }
]

resource endpoint 'Microsoft.Network/privateEndpoints@2024-07-01' = [
  for service in services: {
    name: '${endpointName}-${service.group}'
    location: location
    tags: tags
    properties: {
      subnet: { id: subnetId }
      privateLinkServiceConnections: [
        {
          name: service.group
          properties: { privateLinkServiceId: service.target, groupIds: [service.group] }
        }
      ]
    }
  }
]

resource registration 'Microsoft.Network/privateEndpoints/privateDnsZoneGroups@2024-07-01' = [
  for (service, index) in services: if (createDnsZones) {
    parent: endpoint[index]
    name: 'default'
    properties: {
      privateDnsZoneConfigs: [{ name: service.group, properties: { privateDnsZoneId: zone[index].id } }]
    }
  }
]
