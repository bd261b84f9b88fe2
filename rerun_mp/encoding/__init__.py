"""Floor 1: from what `log` gets to bytes in the ring, and back. No process, no lock, no file."""
