"""The files that training reads: their codec, writer and reader."""
