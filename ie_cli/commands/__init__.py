"""What the commands do: read arguments, call the engine, talk."""
