"""What the hub tells others: a catalogue of events, a relay that makes deliveries of them, and signed delivery by HTTP."""
