"""That the log is what it was: verification, and proofs that others check."""
