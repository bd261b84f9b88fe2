"""The durable places of chunks: files and spools."""
