"""`sixfold demo`: the whole circle on one machine, told as it goes, over the public API alone."""
