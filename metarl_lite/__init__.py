"""The small shared library of the book *Meta-reinforcement learning, live*."""

from metarl_lite import envs as envs  # registers the Gymnasium ids

__version__ = "0.1.0"
