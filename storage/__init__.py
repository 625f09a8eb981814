"""PostgreSQL: tables, tenancy, repositories, the vault and the embedded server. The only home of SQLAlchemy and psycopg."""
