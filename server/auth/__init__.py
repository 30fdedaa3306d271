"""Who may talk to us: the guard, API keys and dashboard sessions."""
