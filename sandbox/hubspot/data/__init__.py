"""Sample data: realistic, messy, the same for one seed."""
