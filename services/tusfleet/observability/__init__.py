"""What the server shows of itself: names of metrics and log fields are defined here, once."""
