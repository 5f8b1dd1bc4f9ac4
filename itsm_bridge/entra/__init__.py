"""The room for Entra ID: who is calling, and does the directory know us?"""
