"""The commands, by subject; each imports what it needs when it is called, so that help is quick."""
