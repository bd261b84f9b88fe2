"""Programs on several hosts: real namespaces with links that the tests cut, and hosts that they kill whole."""
