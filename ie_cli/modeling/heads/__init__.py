"""What is put on an encoder, one file for each head; `recipe.heads.HEADS` is the table of them."""
