"""What an archive is: its manifest, its files and their schemas, and what can be wrong with it."""
