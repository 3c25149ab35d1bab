"""Lightning: modules, callbacks, recipes."""
