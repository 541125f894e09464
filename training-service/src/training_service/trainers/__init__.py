"""Trainers: one readable recipe a method. Nothing heavy is imported before a recipe runs."""
