"""Supervised task distributions, one module each: tasks in, support and query data out."""
