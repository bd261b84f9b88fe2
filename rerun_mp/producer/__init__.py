"""The writing side of a process."""
