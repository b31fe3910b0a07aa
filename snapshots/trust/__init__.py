"""Who vouches for an archive, and who may read it: signatures, keys, encryption."""
