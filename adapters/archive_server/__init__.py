"""A local HTTP archive that shows a world in the layouts of the real ones."""
