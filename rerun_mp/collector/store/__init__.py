"""Where chunks are kept: files and spools."""
