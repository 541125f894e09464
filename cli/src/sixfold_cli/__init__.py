"""`sixfold`: start everything on this machine, and talk to it."""
