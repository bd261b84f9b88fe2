"""What must happen when something is loaded, forked or called wrongly."""
