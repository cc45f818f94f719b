"""Find problems in data, and propose a recipe that fits them."""
