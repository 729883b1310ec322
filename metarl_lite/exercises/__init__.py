"""Exercises that check themselves, one module a chapter."""
