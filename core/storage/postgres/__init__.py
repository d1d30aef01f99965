"""The storage on a PostgreSQL server, shared by as many processes as wanted."""
