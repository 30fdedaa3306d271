"""What the user's desktop sees; it talks to the server only by HTTP."""
