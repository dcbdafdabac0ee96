"""The page of `predictions web`: drop images, and watch their predictions arrive."""
