"""Starting viewers and serving the web viewer."""
