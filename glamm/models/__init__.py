"""The parts of GLaMM, and the model composed of them."""
