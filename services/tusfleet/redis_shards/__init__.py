"""What records and leases in Redis share: the way to the servers, the keys, the scripts, and how a record is stored."""
