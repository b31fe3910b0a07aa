"""An archive into an account: what it would change, what is chosen, and the restore itself."""
