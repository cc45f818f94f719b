"""What is wrong with data, and a recipe that fits them."""
