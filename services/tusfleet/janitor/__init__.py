"""The service that expires, repairs and cleans."""
