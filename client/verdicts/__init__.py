"""Two models compared on the same requests, or on their shares of them, with intervals and a verdict."""
