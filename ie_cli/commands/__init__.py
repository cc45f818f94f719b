"""The commands: read arguments, call the engine, report the result."""
