"""Upload protocols as pure functions: request heads become intents, outcomes become response heads."""
