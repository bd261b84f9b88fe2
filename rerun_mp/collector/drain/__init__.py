"""From the bytes in the ring to chunks: sweeps read slots, and chunks are built from what they took."""
