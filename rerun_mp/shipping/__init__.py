"""Brings the closed parts of a node to the head: names, the head's receiver, its client, and the shipper.

Only the standard library is needed. The collector, and the commands `rerun-mp head` and `ship` use it.
"""
