"""What tests share: the embedded server of a test run, schema tools."""
