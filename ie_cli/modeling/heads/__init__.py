"""The heads on top of an encoder, one file for each; `recipe.heads.HEADS` is the table of heads."""
