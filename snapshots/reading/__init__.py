"""Reading an archive through once, and checking all of it in bounded memory."""
