# Which network does the app send from, and how does it reach its stores? One of its own, made here, or subnets that
# somebody else gave; and a private endpoint for each service that it uses.
#
# Flex Consumption wants its subnet delegated to Microsoft.App/environments, at least /27, without underscores in its
# name: https://learn.microsoft.com/azure/azure-functions/functions-networking-options#subnets

locals {
  makes_network = local.has_network && var.app_subnet_id == ""
  has_gateway   = local.makes_network && var.fixed_outgoing_address
  # A network that was made elsewhere resolves names its own way.
  makes_zones = var.private_network && local.makes_network && var.create_dns_zones

  app_subnet_id      = local.makes_network ? azurerm_subnet.app[0].id : var.app_subnet_id
  endpoint_subnet_id = var.endpoint_subnet_id != "" ? var.endpoint_subnet_id : one(azurerm_subnet.endpoints[*].id)

  services = {
    blob  = { target = azurerm_storage_account.storage.id, zone = "privatelink.blob.${local.cloud.storage}" }
    queue = { target = azurerm_storage_account.storage.id, zone = "privatelink.queue.${local.cloud.storage}" }
    table = { target = azurerm_storage_account.storage.id, zone = "privatelink.table.${local.cloud.storage}" }
    vault = { target = azurerm_key_vault.vault.id, zone = local.cloud.vault_zone }
  }
}

resource "azurerm_public_ip" "gateway" {
  count               = local.has_gateway ? 1 : 0
  name                = replace(local.pattern, "{type}", "pip")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
  sku                 = "Standard"
  allocation_method   = "Static"
}

resource "azurerm_nat_gateway" "gateway" {
  count               = local.has_gateway ? 1 : 0
  name                = replace(local.pattern, "{type}", "ng")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
  sku_name            = "Standard"
}

resource "azurerm_nat_gateway_public_ip_association" "gateway" {
  count                = local.has_gateway ? 1 : 0
  nat_gateway_id       = azurerm_nat_gateway.gateway[0].id
  public_ip_address_id = azurerm_public_ip.gateway[0].id
}

# Its default rules are enough: the network, and nothing from outside.
resource "azurerm_network_security_group" "network" {
  count               = local.makes_network ? 1 : 0
  name                = replace(local.pattern, "{type}", "nsg")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
}

resource "azurerm_virtual_network" "network" {
  count               = local.makes_network ? 1 : 0
  name                = replace(local.pattern, "{type}", "vnet")
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
  address_space       = [var.network_prefix]
}

resource "azurerm_subnet" "app" {
  count                = local.makes_network ? 1 : 0
  name                 = "app"
  resource_group_name  = local.group
  virtual_network_name = azurerm_virtual_network.network[0].name
  address_prefixes     = [cidrsubnet(var.network_prefix, 26 - tonumber(split("/", var.network_prefix)[1]), 0)]

  delegation {
    name = "flex"

    service_delegation {
      name    = "Microsoft.App/environments"
      actions = ["Microsoft.Network/virtualNetworks/subnets/join/action"]
    }
  }
}

resource "azurerm_subnet" "endpoints" {
  count                             = local.makes_network ? 1 : 0
  name                              = "endpoints"
  resource_group_name               = local.group
  virtual_network_name              = azurerm_virtual_network.network[0].name
  address_prefixes                  = [cidrsubnet(var.network_prefix, 26 - tonumber(split("/", var.network_prefix)[1]), 1)]
  private_endpoint_network_policies = "Enabled"
}

resource "azurerm_subnet_network_security_group_association" "app" {
  count                     = local.makes_network ? 1 : 0
  subnet_id                 = azurerm_subnet.app[0].id
  network_security_group_id = azurerm_network_security_group.network[0].id
}

resource "azurerm_subnet_network_security_group_association" "endpoints" {
  count                     = local.makes_network ? 1 : 0
  subnet_id                 = azurerm_subnet.endpoints[0].id
  network_security_group_id = azurerm_network_security_group.network[0].id
}

resource "azurerm_subnet_nat_gateway_association" "app" {
  count          = local.has_gateway ? 1 : 0
  subnet_id      = azurerm_subnet.app[0].id
  nat_gateway_id = azurerm_nat_gateway.gateway[0].id
}

resource "azurerm_private_dns_zone" "zone" {
  for_each            = local.makes_zones ? local.services : {}
  name                = each.value.zone
  resource_group_name = local.group
  tags                = local.tags
}

resource "azurerm_private_dns_zone_virtual_network_link" "link" {
  for_each             = local.makes_zones ? local.services : {}
  name                 = "itsm-bridge"
  private_dns_zone_id  = azurerm_private_dns_zone.zone[each.key].id
  virtual_network_id   = azurerm_virtual_network.network[0].id
  registration_enabled = false
  tags                 = local.tags
}

resource "azurerm_private_endpoint" "endpoint" {
  for_each            = var.private_network ? local.services : {}
  name                = "${replace(local.pattern, "{type}", "pep")}-${each.key}"
  resource_group_name = local.group
  location            = var.location
  tags                = local.tags
  subnet_id           = local.endpoint_subnet_id

  private_service_connection {
    name                           = each.key
    private_connection_resource_id = each.value.target
    subresource_names              = [each.key]
    is_manual_connection           = false
  }

  dynamic "private_dns_zone_group" {
    for_each = local.makes_zones ? [each.key] : []

    content {
      name                 = "default"
      private_dns_zone_ids = [azurerm_private_dns_zone.zone[private_dns_zone_group.value].id]
    }
  }
}
