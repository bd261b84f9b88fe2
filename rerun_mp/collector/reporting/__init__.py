"""Who lives, who died, and what is said of it in the recording."""
