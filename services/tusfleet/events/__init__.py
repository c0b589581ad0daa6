"""Telling others after something happened: implementations of the `EventSink` port."""
