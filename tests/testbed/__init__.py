"""The foreign programs that the tests run: pinned, fetched once, kept outside the checkout."""
