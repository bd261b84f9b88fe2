"""This process's part in the session of its process tree."""
