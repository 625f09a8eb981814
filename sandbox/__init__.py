"""Stand-in vendors: separate programs that answer like the vendor. Imports nothing of the product."""
