"""The domain: what an upload is and what may happen to it. No HTTP, no vendor, no clock of its own."""
