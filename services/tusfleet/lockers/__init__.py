"""Who may write now: implementations of the `Locker` port."""
