"""Environments: numpy, many copies in lockstep, each with its task distribution."""
