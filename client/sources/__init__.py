"""What publish, upload and predict send: the images that paths, lists, archives and bucket prefixes name."""
