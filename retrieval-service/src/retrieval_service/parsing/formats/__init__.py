"""One file per format: bytes in, blocks out. Everything here runs in a parser process only."""
