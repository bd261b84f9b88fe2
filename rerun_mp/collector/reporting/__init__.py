"""What the collector reports: killed processes, lost rows, the state of the sinks, and the session's figures."""
