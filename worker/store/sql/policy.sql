SELECT label_floor, minute_floor, author_key_fingerprint, EXISTS (SELECT FROM erasures) FROM policy
