"""The project's own sample images, one garment for each class, and the script that draws them."""
