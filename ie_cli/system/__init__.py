"""What touches the operating system: files that are whole or not there, streams of lines, signals, threads."""
