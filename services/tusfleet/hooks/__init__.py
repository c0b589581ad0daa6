"""Asking others before something happens: implementations of the `HookRunner` port."""
