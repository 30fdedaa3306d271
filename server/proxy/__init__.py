"""What Codex talks to: choose an account, forward, fail over, record."""
