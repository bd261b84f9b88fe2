"""Stateful models: random histories, deaths at any store, and what must hold after every step."""
