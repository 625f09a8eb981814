"""What every connector is made of: the contract, one HTTP client, authentication, and the registry."""
