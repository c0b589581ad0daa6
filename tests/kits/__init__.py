"""The contract of every port as tests, for whoever implements one: subclass the kit and give it the implementation."""
