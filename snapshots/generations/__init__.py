"""An account's streams: what each is, how they differ, undo, and purging."""
