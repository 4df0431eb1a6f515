UPDATE policy SET author_key_fingerprint = %(fingerprint)b
