"""Settings that all tests share."""

from hypothesis import settings

# A busy machine is no failure, and a failure must come again.
settings.register_profile("book", deadline=None, derandomize=True)
settings.load_profile("book")
