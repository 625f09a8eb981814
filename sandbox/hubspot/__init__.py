"""A stand-in HubSpot portal: the vendor's rules over plain state, and an HTTP face that the official SDK can't tell apart."""
