"""Present scores and models as tables, model cards and web pages."""
