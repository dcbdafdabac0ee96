"""Dead letters: looking at them without consuming them, publishing them again, purging them."""
