"""The doctor's checks of a Kafka cluster."""
