"""Pure functions from predictions and ground truth to numbers; all values are fractions, never percent."""
