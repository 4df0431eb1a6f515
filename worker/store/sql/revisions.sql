SELECT revision, oldest, applied_by FROM schema_revisions
