"""The training worker: handles the requests of the topic req_train, one at a time."""
