"""What do the actions of Microsoft's ITSM connector do today, and what says the same to this program?

The command `migrate` in `operate` calls this room; nothing here is read from a network or written to a disk.

    exports      which Azure resources does an exported file hold?   terraform_shape: those of Terraform
    ticket       what does one ticket configuration say?      servicenow_templates: the template that it names
    receivers    what do the receivers look like by Resource Manager's names?
    inventory    which action groups have ITSM actions, and who uses them?
    rules_text   the rules that make the same incidents
    steps        which receivers does a group have in each step?
    group_bicep, group_terraform, az_script   the action groups with a secure webhook, and the way back
    report       all of it, for people who decide

Whatever is not understood is kept and told in a remark; nothing is left out in silence.
Source of truth: https://learn.microsoft.com/azure/azure-monitor/alerts/itsmc-definition
"""
