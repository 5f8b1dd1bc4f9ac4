// For a deployment by hand: copy it, fill it in, and keep it. Each later deployment uses the same file.
// All parameters, with what they mean, are in main.bicep.
using 'main.bicep'

param environmentName = 'prod'
param location = 'westeurope'
param servicenowInstanceUrl = 'https://NAME.service-now.com'
param servicenowClientId = 'CLIENT_ID'
param operatorEmail = 'on-call@example.com'

// What `python -m itsm_bridge setup --json` printed.
param entraClientId = 'ENTRA_CLIENT_ID'
param entraObjectId = 'ENTRA_OBJECT_ID'
param entraIdentifierUri = 'ENTRA_IDENTIFIER_URI'

// From the shell, and into no file. Empty: what is in the vault stays.
param servicenowClientSecret = readEnvironmentVariable('SERVICENOW_CLIENT_SECRET', '')

// False for the first deployment: the address of the action group holds a key that exists once the code has run.
param createActionGroup = false
