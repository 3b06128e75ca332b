-- After all indexes were made anew: what the new libraries say is what the indexes are sorted by.
SELECT format('ALTER COLLATION %s.%s REFRESH VERSION', quote_ident(nspname), quote_ident(collname))
  FROM pg_collation JOIN pg_namespace n ON n.oid = collnamespace
  WHERE collversion <> pg_collation_actual_version(pg_collation.oid) \gexec
SELECT format('ALTER DATABASE %I REFRESH COLLATION VERSION', current_database())
  FROM pg_database WHERE datname = current_database() AND datcollversion IS NOT NULL \gexec
