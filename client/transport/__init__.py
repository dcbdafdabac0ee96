"""The three ways to send images (topic, bucket, HTTP) and the subscription that receives the responses."""
