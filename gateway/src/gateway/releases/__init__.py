"""Names that a release has given to a champion, and in part to a candidate."""
