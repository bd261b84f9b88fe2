"""The bytes in slots and files: from the arguments of `log` to the ring, and back. No process, no lock."""
