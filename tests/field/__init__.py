"""Set-ups that users have: launchers, terminals, servers, containers. Each test runs the real program."""
