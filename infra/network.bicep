// Which network does the app send from? One of its own, made here, or subnets that somebody else gave.
//
// Flex Consumption wants its subnet delegated to Microsoft.App/environments, at least /27, without underscores in its
// name: https://learn.microsoft.com/azure/azure-functions/functions-networking-options#subnets
param location string
param tags object
param virtualNetworkName string
param natGatewayName string
param publicAddressName string
param securityGroupName string
@description('Address range of the network that is made here, /24 or larger.')
param networkPrefix string
@description('Subnet for the app, delegated to Microsoft.App/environments. Empty: a network is made here.')
param existingAppSubnetId string
@description('Subnet for the private endpoints. Empty: the one made here.')
param existingEndpointSubnetId string
@description('Send to the internet from one address that never changes; only in a network that is made here.')
param fixedOutgoingAddress bool

var isMadeHere = empty(existingAppSubnetId)
var hasGateway = isMadeHere && fixedOutgoingAddress

resource publicAddress 'Microsoft.Network/publicIPAddresses@2024-07-01' = if (hasGateway) {
  name: publicAddressName
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIPAllocationMethod: 'Static' }
}

resource gateway 'Microsoft.Network/natGateways@2024-07-01' = if (hasGateway) {
  name: natGatewayName
  location: location
  tags: tags
  sku: { name: 'Standard' }
  properties: { publicIpAddresses: [{ id: publicAddress.id }] }
}

// Its default rules are enough: the network, and nothing from outside.
resource securityGroup 'Microsoft.Network/networkSecurityGroups@2024-07-01' = if (isMadeHere) {
  name: securityGroupName
  location: location
  tags: tags
}

resource network 'Microsoft.Network/virtualNetworks@2024-07-01' = if (isMadeHere) {
  name: virtualNetworkName
  location: location
  tags: tags
  properties: {
    addressSpace: { addressPrefixes: [networkPrefix] }
    subnets: [
      {
        name: 'app'
        properties: {
          addressPrefix: cidrSubnet(networkPrefix, 26, 0)
          natGateway: hasGateway ? { id: gateway.id } : null
          networkSecurityGroup: { id: securityGroup.id }
          delegations: [{ name: 'flex', properties: { serviceName: 'Microsoft.App/environments' } }]
        }
      }
      {
        name: 'endpoints'
        properties: {
          addressPrefix: cidrSubnet(networkPrefix, 26, 1)
          networkSecurityGroup: { id: securityGroup.id }
          privateEndpointNetworkPolicies: 'Enabled'
        }
      }
    ]
  }
}

output virtualNetworkId string = isMadeHere ? network.id : ''
output appSubnetId string = isMadeHere ? '${network.id}/subnets/app' : existingAppSubnetId
output endpointSubnetId string = empty(existingEndpointSubnetId) ? '${network.id}/subnets/endpoints' : existingEndpointSubnetId
output outgoingAddress string = hasGateway ? publicAddress!.properties.ipAddress : ''
