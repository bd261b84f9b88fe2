"""Functions that run when a module is loaded, when a process forks or is started, and when a call is wrong."""
