"""What the collector reports: who died, which rows are lost, how the sinks are, and the session's figures."""
