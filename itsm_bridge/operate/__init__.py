"""The room for operators: commands, and whether the app is well."""
