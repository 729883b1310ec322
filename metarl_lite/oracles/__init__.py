"""Exact answers that learners are measured against."""
