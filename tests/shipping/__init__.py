"""Parts on their way to a head or a directory."""
