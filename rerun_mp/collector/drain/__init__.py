"""From the bytes in the ring to chunks: a sweep copies new rows out of the slots, and chunks are built of them."""
