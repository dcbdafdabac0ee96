"""The registry: versions of models in a bucket or a folder, and aliases that name the version to serve."""
