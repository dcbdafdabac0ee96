"""What is known of the worker's dependencies: known vulnerabilities, a bill of materials, the locked file itself."""
