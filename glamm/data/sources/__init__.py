"""One data set a file, each a reader that yields samples."""
