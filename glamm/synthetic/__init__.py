"""Scenes with exact masks, drawn or pasted from photographs, written in the official GranD and GranD-f layouts."""
