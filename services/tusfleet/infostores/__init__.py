"""Where records go: implementations of the `InfoStore` port."""
