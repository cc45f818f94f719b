"""Text to tokens with exact offsets, tokens to windows, and back."""
