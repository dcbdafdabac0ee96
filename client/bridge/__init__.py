"""The bridge: moves requests and responses from one broker to another, for as long as both are in use."""
