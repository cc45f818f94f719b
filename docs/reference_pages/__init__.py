"""The pages of docs/reference, one module for each; `docs/generate.py` writes them."""
