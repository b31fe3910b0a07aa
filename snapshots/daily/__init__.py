"""The daily backup of every account: when, what is checked, what is kept, and rehearsing that it can be restored."""
