"""One module a family of commands. Heavy imports stay inside the functions: `--help` must be quick."""
