"""Readers and writers, a file for each family of formats."""
