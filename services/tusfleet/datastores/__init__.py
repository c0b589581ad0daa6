"""Where bytes go: implementations of the `DataStore` port."""
