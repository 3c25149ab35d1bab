"""One reader a family of data sets: files in, `Sample`s out."""
