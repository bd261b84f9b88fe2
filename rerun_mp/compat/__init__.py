"""Code that says `import rerun`, and names of old releases."""
