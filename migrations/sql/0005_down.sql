DROP TABLE schema_revisions;
