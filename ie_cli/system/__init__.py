"""Interfaces to the operating system: atomic file replacement, line streams, signals, threads."""
