"""A trained model: its directory, what runs it, and the one path from text to annotation."""
