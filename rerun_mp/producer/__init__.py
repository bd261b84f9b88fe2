"""The writing side of a process: from a row that `log` has encoded to bytes in a slot of the ring."""
