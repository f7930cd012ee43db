"""Cloud → Home Assistant: the node tree, the field catalogue and the coordinators."""
