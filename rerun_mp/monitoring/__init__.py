"""Sessions seen from outside."""
