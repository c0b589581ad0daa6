"""`kubectl tus`: look at TusServers, stop and restart them, and pack what a report of a problem needs."""
