"""A stand-in Salesforce org: the vendor's rules over plain state, and an HTTP face that client libraries can't tell apart."""
