"""What `glamm data read --json` writes: records as their files have them, one module for each family of layouts."""
