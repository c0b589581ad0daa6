"""Bytes in S3-compatible storage: the data store of a fleet."""
