"""The study of annotation budgets."""
