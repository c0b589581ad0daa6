"""The service that delivers events from the outbox."""
