"""The project's own drawings, one garment a class, and the script that draws them."""
