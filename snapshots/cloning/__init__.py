"""An account into another, stream to stream, without a file."""
