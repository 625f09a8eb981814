"""REST API and web console (FastAPI). Filled by the API work; see docs/explanation/architecture.md."""
