"""From the ring's bytes to chunks."""
