"""What Entra ID is asked: who is calling, and whether the directory knows us."""
