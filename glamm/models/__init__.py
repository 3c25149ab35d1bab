"""The parts of GLaMM and what joins them."""
