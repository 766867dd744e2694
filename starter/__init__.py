"""Who begins: the command line, the embedded stack and its supervisor."""
